import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** Something between client and server that a test can shut. */
export interface Gate {
  readonly port: number
  /** Connections that were opened through it. */
  readonly opened: number
  /** Cuts all connections, and every new one at once until it is opened again. */
  shut(): void
  open(): void
  close(): Promise<void>
}

/** Passes bytes on to an address. */
export async function openGate(target: URL): Promise<Gate> {
  return await listen((sockets, enter) =>
    createServer((socket) => {
      if (!enter(socket)) return
      const onward = connect({ host: target.hostname, port: Number(target.port) })
      sockets.add(onward)
      join(socket, onward)
    }),
  )
}

/** An HTTP proxy that knows CONNECT. */
export async function openProxy(): Promise<Gate> {
  return await listen((sockets, enter) =>
    createHttpServer().on('connect', (request, socket: Socket) => {
      if (!enter(socket)) return
      const [host = '', port = ''] = (request.url ?? '').split(':')
      const onward = connect({ host, port: Number(port) }, () => socket.write('HTTP/1.1 200 OK\r\n\r\n'))
      sockets.add(onward)
      join(socket, onward)
    }),
  )
}

function join(one: Socket, other: Socket): void {
  one.pipe(other).pipe(one)
  one.on('error', () => other.destroy()).on('close', () => other.destroy())
  other.on('error', () => one.destroy()).on('close', () => one.destroy())
}

async function listen(make: (sockets: Set<Socket>, enter: (socket: Socket) => boolean) => Server): Promise<Gate> {
  const sockets = new Set<Socket>()
  let isShut = false
  let opened = 0
  const server = make(sockets, (socket) => {
    opened += 1
    sockets.add(socket)
    if (isShut) socket.destroy()
    return !isShut
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cut = () => {
    for (const socket of sockets) socket.destroy()
    sockets.clear()
  }
  return {
    port: (server.address() as AddressInfo).port,
    get opened() {
      return opened
    },
    shut() {
      isShut = true
      cut()
    },
    open() {
      isShut = false
    },
    async close() {
      cut()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
