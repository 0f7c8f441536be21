import type { Argument, Command, Option } from 'commander'
import type { Surroundings } from '../context.ts'

export type Shell = 'bash' | 'zsh' | 'fish'

/** Where words come from that only the instance knows: folders that a shell can list faster than Node starts. */
type Listed = 'clusters' | 'components'
type Words = { readonly listed: Listed } | { readonly fixed: readonly string[] } | undefined

/** `muster completion SHELL`: a script that completes commands, options, and the names of clusters and components. */
export function completion(surroundings: Surroundings, program: Command, shell: Shell): void {
  surroundings.stdout.write(shell === 'fish' ? fishScript(program) : bourneScript(program, shell))
}

function wordsOfArgument(command: Command, argument: Argument): Words {
  if (argument.argChoices) return { fixed: argument.argChoices }
  if (argument.name() === 'cluster') return { listed: 'clusters' }
  if (argument.name() === 'component' || command.name() === 'component') return { listed: 'components' }
  return undefined
}

function wordsOfOption(option: Option): Words {
  if (option.argChoices) return { fixed: option.argChoices }
  return option.long === '--on' || option.long === '--cluster' ? { listed: 'clusters' } : undefined
}

const help = '--help'

function flagsOf(command: Command): string[] {
  return [...command.options.flatMap(({ short, long }) => [long, short].filter((flag) => flag !== undefined)), help]
}

function printing(words: Words): string {
  if (words === undefined) return ':'
  return 'listed' in words ? `_muster_${words.listed}` : `printf '%s\\n' ${words.fixed.join(' ')}`
}

/** A command with the words that lead to it: `key create`. */
interface Entry {
  readonly path: string
  readonly command: Command
}

function entriesOf(group: Command, before: readonly string[] = []): Entry[] {
  return group.commands.flatMap((command) => {
    const words = [...before, command.name()]
    return [{ path: words.join(' '), command }, ...entriesOf(command, words)]
  })
}

/** What may stand in the first place behind a command: its subcommands, and words for its first argument. */
function namesBelow(command: Command): string[] {
  return command.commands.map((one) => one.name())
}

/** One function for both shells prints the candidates; what differs is how a shell asks and is answered. */
function bourneScript(program: Command, shell: 'bash' | 'zsh'): string {
  const entries = entriesOf(program)
  const taking = entries.flatMap(({ path, command }) =>
    command.options
      .filter(({ required }) => required)
      .map((option) => ({
        pattern: [option.long, option.short]
          .filter((flag) => flag !== undefined)
          .map((flag) => `'${path}:${flag}'`)
          .join('|'),
        words: wordsOfOption(option),
      })),
  )
  const values = taking.map(({ pattern, words }) => `    ${pattern}) ${printing(words)}; return ;;`)
  const places = entries.flatMap(({ path, command }) => {
    const below = namesBelow(command)
    const first = below.length === 0 ? [] : [`    '${path}:0') printf '%s\\n' ${below.join(' ')} ;;`]
    const places = command.registeredArguments.map(
      (argument, at) => `    '${path}:${at}') ${printing(wordsOfArgument(command, argument))} ;;`,
    )
    return [...first, ...places.slice(first.length)]
  })
  const flags = entries.map(({ path, command }) => `      '${path}') printf '%s\\n' ${flagsOf(command).join(' ')} ;;`)
  const names = [...namesBelow(program), 'help']
  return `# muster completion for ${shell}, made by "muster completion ${shell}".
_muster_state() { printf '%s' "\${MUSTER_STATE:-/var/lib/muster/\${MUSTER_INSTANCE:-default}}"; }
_muster_clusters() { command ls "$(_muster_state)/clusters" 2>/dev/null; }
_muster_components() {
  (cd "$(_muster_state)/logs" 2>/dev/null && command find . -name '*.log' | command sed 's|^\\./||; s|\\.log$||')
}
# whether a word behind a command is its subcommand
_muster_enters() {
  case "$1" in ${entries.map(({ path }) => `'${path}'`).join('|')}) return 0 ;; esac
  return 1
}
# whether a word follows that is the option's value
_muster_takes() {
  case "$1" in ':--instance'${taking.map(({ pattern }) => `|${pattern}`).join('')}) return 0 ;; esac
  return 1
}
# command, word before, how many arguments before, word so far
_muster_words() {
  case "$1:$2" in
    :--instance) return ;;
${values.join('\n')}
  esac
  case "$4" in
  -*)
    case "$1" in
      '') printf '%s\\n' ${flagsOf(program).join(' ')} ;;
${flags.join('\n')}
    esac
    return ;;
  esac
  case "$1:$3" in
    :*) printf '%s\\n' ${names.join(' ')} ;;
${places.join('\n')}
  esac
}
_muster_answer() {
  local command= count=0 before=\${1} word skip=
  shift
  for word in "$@"; do
    if [ -n "$skip" ]; then skip=; continue; fi
    case "$word" in
      -*) if _muster_takes "$command:$word"; then skip=1; fi ;;
      *)
        if [ -z "$command" ]; then command=$word
        elif [ "$count" = 0 ] && _muster_enters "$command $word"; then command="$command $word"
        else count=$((count + 1)); fi ;;
    esac
  done
  _muster_words "$command" "$before" "$count" "$_muster_current"
}
${shell === 'bash' ? bashEnd : zshEnd}`
}

const bashEnd = `_muster() {
  local _muster_current=\${COMP_WORDS[COMP_CWORD]}
  local words
  words=$(_muster_answer "\${COMP_WORDS[COMP_CWORD-1]}" "\${COMP_WORDS[@]:1:COMP_CWORD-1}")
  COMPREPLY=()
  while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -W "$words" -- "$_muster_current")
}
complete -o default -F _muster muster ./muster
`

const zshEnd = `_muster() {
  local _muster_current=\${words[CURRENT]}
  local -a found
  found=(\${(f)"$(_muster_answer "\${words[CURRENT-1]}" "\${(@)words[2,CURRENT-1]}")"})
  if (( \${#found} )); then compadd -- "\${found[@]}"; else _files; fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
compdef _muster muster
`

function fishScript(program: Command): string {
  const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
  const entries = entriesOf(program)
  const lines = [
    '# muster completion for fish, made by "muster completion fish".',
    'function __muster_state; set -q MUSTER_STATE; and echo $MUSTER_STATE; or echo /var/lib/muster/(set -q MUSTER_INSTANCE; and echo $MUSTER_INSTANCE; or echo default); end',
    'function __muster_clusters; command ls (__muster_state)/clusters 2>/dev/null; end',
    "function __muster_components; command find (__muster_state)/logs -name '*.log' -printf '%P\\n' 2>/dev/null | string replace -r '\\.log$' ''; end",
    `set -g __muster_paths ${entries.map(({ path }) => quoted(` ${path}`)).join(' ')}`,
    // The words that lead to the command which is typed, each after a space.
    'function __muster_path; set -l path ""; for word in (commandline -opc)[2..-1]; if contains -- "$path $word" $__muster_paths; set path "$path $word"; end; end; echo -- "$path"; end',
    'function __muster_at; test "$(__muster_path)" = "$argv[1]"; end',
    'complete -c muster -e',
  ]
  const wordsIn = (words: Words): string | undefined =>
    words === undefined ? undefined : 'listed' in words ? `(__muster_${words.listed})` : words.fixed.join(' ')
  const option = (one: Option, condition: string): string => {
    const words = wordsIn(wordsOfOption(one))
    return [
      `complete -c muster -n ${quoted(condition)}`,
      ...(one.short ? [`-s ${one.short.slice(1)}`] : []),
      ...(one.long ? [`-l ${one.long.slice(2)}`] : []),
      ...(one.required ? [words === undefined ? '-r' : `-x -a ${quoted(words)}`] : []),
      `-d ${quoted(one.description)}`,
    ].join(' ')
  }
  const at = (path: string): string => `__muster_at "${path}"`
  const offer = (group: Command, path: string): string[] =>
    group.commands.map((one) => `complete -c muster -f -n ${quoted(at(path))} -a ${one.name()} -d ${quoted(one.description())}`)
  for (const one of program.options) lines.push(option(one, at('')))
  lines.push(...offer(program, ''))
  for (const { path, command } of entries) {
    const here = at(` ${path}`)
    lines.push(...offer(command, ` ${path}`))
    for (const one of command.options) lines.push(option(one, here))
    for (const argument of command.registeredArguments) {
      const words = wordsIn(wordsOfArgument(command, argument))
      if (words !== undefined) lines.push(`complete -c muster -f -n ${quoted(here)} -a ${quoted(words)}`)
    }
  }
  return `${lines.join('\n')}\n`
}
