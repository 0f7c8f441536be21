import { HostClient, HostError } from '@muster/host'
import type { Context } from './context.ts'
import { Failure } from './errors.ts'

/** Lets `use` speak to the daemon that runs the instance. @throws Failure where there is none, or where this user may not */
export async function daemonOf<T>(context: Context, use: (client: HostClient) => Promise<T>): Promise<T> {
  try {
    return await use(new HostClient(context.state))
  } catch (error) {
    if (!(error instanceof HostError && error.code === 'Unreachable' && error.cause !== undefined)) throw error
    const denied = (error.cause as NodeJS.ErrnoException).code === 'EACCES'
    throw new Failure(
      denied
        ? `This user may not speak to the daemon of instance "${context.instance}": run the command with sudo.`
        : `Instance "${context.instance}" is not up: no daemon runs for ${context.state}. Run "muster up" first.`,
      { cause: error },
    )
  }
}
