import { parseDurationMs } from '#common/config.ts';
import { messageOf, StatusError } from '#common/errors.ts';

/** One flag of a command. `short` is a single letter. A `bool` needs no value; `optional` has one when none is given. */
export interface Flag {
  readonly name: string;
  readonly short?: string;
  readonly type: 'bool' | 'string' | 'int' | 'list' | 'duration';
  readonly optional?: string;
  readonly default?: string;
  readonly description: string;
}

export interface ParsedFlags {
  readonly args: readonly string[];
  has(name: string): boolean;
  bool(name: string): boolean;
  string(name: string): string | undefined;
  int(name: string): number | undefined;
  list(name: string): readonly string[];
  /** Each value that was given, as it was: what has commas of its own. */
  all(name: string): readonly string[];
  /** Milliseconds; undefined when neither given nor defaulted. A bare number is seconds, as in kubectl. */
  durationMs(name: string): number | undefined;
}

/** Flags that every command which speaks to a cluster takes. */
export const clusterFlags: readonly Flag[] = [
  { name: 'kubeconfig', type: 'string', description: 'file to read the cluster and the user from' },
  { name: 'context', type: 'string', description: 'context of the kubeconfig to use' },
  { name: 'server', short: 's', type: 'string', description: 'address of the API, in place of the kubeconfig\'s' },
  { name: 'token', type: 'string', description: 'bearer token to use, in place of the kubeconfig\'s user' },
  { name: 'as', type: 'string', description: 'act as this user, where the kubeconfig\'s may' },
  { name: 'as-group', type: 'list', description: 'act as a member of these groups; with --as' },
  { name: 'request-timeout', type: 'duration', default: '0', description: 'how long one request may take; 0 is without end' },
  { name: 'namespace', short: 'n', type: 'string', description: 'namespace of the request' },
];

/** Puts the verb first where flags of the cluster stand before it: `-n web get pods`. */
export function verbFirst(argv: readonly string[]): readonly string[] {
  let at = 0;
  for (let argument = argv[at]; argument?.startsWith('-'); argument = argv[++at]) {
    const flag = clusterFlags.find(({ name, short }) => argument === `--${name}` || argument === `-${short ?? ''}`);
    if (flag) at++;
    else if (!clusterFlags.some(({ name, short }) => argument?.startsWith(`--${name}=`) === true || (short !== undefined && argument?.startsWith(`-${short}`) === true))) return argv;
  }
  return at < argv.length ? [argv[at] ?? '', ...argv.slice(0, at), ...argv.slice(at + 1)] : argv;
}

/** Reads flags as kubectl does: anywhere, `--name value`, `--name=value`, `-n value`, `-nvalue`; `--` ends them. Throws a StatusError ready to print. */
export function parseFlags(command: string, flags: readonly Flag[], argv: readonly string[]): ParsedFlags {
  const values = new Map<string, string[]>();
  const args: string[] = [];
  const set = (flag: Flag, value: string): void => {
    if (flag.type === 'int' && !/^-?\d+$/.test(value)) throw refuse(command, `invalid argument "${value}" for "--${flag.name}" flag: expected a whole number`);
    if (flag.type === 'bool' && !/^([tT]|[fF]|[01]|true|True|TRUE|false|False|FALSE)$/.test(value)) throw refuse(command, `invalid argument "${value}" for "--${flag.name}" flag: expected true or false`);
    if (flag.type === 'duration') durationOf(command, flag.name, value);
    values.set(flag.name, [...(values.get(flag.name) ?? []), value]);
  };
  const queue = [...argv];
  for (let i = 0; i < queue.length; i++) {
    const argument = queue[i] ?? '';
    if (argument === '--') { args.push(...queue.slice(i + 1)); break; }
    if (argument === '-' || !argument.startsWith('-')) { args.push(argument); continue; }
    const long = /^--([^=]+)(?:=([\s\S]*))?$/.exec(argument);
    const flag = flags.find((f) => (long ? f.name === long[1] : f.short === argument[1]));
    if (!flag) throw refuse(command, long ? `unknown flag: --${long[1] ?? ''}` : `unknown shorthand flag: '${argument[1] ?? ''}' in ${argument}`);
    // Single letters may stand together: `-it`.
    if (!long && flag.type === 'bool' && argument.length > 2 && argument[2] !== '=') {
      set(flag, 'true');
      queue[i--] = `-${argument.slice(2)}`;
      continue;
    }
    const inline = long ? long[2] : argument.length > 2 ? argument.slice(argument[2] === '=' ? 3 : 2) : undefined;
    if (inline !== undefined) set(flag, inline);
    else if (flag.type === 'bool') set(flag, 'true');
    else if (flag.optional !== undefined) set(flag, flag.optional);
    else {
      const value = queue[++i];
      if (value === undefined) throw refuse(command, `flag needs an argument: ${argument}`);
      set(flag, value);
    }
  }
  const last = (name: string): string | undefined => values.get(name)?.at(-1) ?? flags.find((f) => f.name === name)?.default;
  return {
    args,
    has: (name) => values.has(name),
    bool: (name) => /^(1|t|true)$/i.test(last(name) ?? ''),
    string: last,
    int: (name) => (last(name) === undefined ? undefined : Number(last(name))),
    durationMs: (name) => (last(name) === undefined ? undefined : durationOf(command, name, last(name) ?? '')),
    all: (name) => values.get(name) ?? [],
    list: (name) => (values.get(name) ?? []).flatMap((value) => value.split(',')).filter(Boolean),
  };
}

function durationOf(command: string, name: string, value: string): number {
  try {
    return /^\d+$/.test(value) ? Number(value) * 1000 : parseDurationMs(value);
  } catch (error) {
    throw refuse(command, `invalid argument "${value}" for "--${name}" flag: ${messageOf(error)}`);
  }
}

export function refuse(command: string, message: string): StatusError {
  return new StatusError('BadRequest', `${message}\nSee 'cleat ${command} --help' for usage.`);
}

/** Throws when there are words that a command does not take. */
export function refuseMore(command: string, words: readonly string[]): void {
  if (words.length > 0) throw refuse(command, `unexpected arguments: ${words.join(' ')}`);
}

/** What is said of a verb of a command that is none, or is missing. */
export function refuseVerb(command: string, verb: string | undefined, verbs: readonly string[]): StatusError {
  const known = verbs.length > 1 ? `${verbs.slice(0, -1).join(', ')} or ${verbs.at(-1) ?? ''}` : verbs.join('');
  return refuse(command, verb === undefined || verb === '' ? `say what to do: ${known}` : `unknown subcommand ${JSON.stringify(verb)}: expected ${known}`);
}

/** Whether `-o name` was given: the one output that some commands know beside their own words. */
export function nameOnly(command: string, parsed: ParsedFlags): boolean {
  const output = parsed.string('output');
  if (output !== undefined && output !== 'name') throw refuse(command, `unexpected -o output mode: ${output}. We only support '-o name'`);
  return output === 'name';
}

/** The help text of a command. */
export function helpText(usage: string, summary: string, flags: readonly Flag[], examples: readonly string[] = []): string {
  const rows = flags.map((flag) => {
    const value = flag.type === 'bool' ? '' : flag.optional === undefined ? ` ${flag.type.toUpperCase()}` : `[=${flag.type.toUpperCase()}]`;
    return [`  ${flag.short === undefined ? '    ' : `-${flag.short}, `}--${flag.name}${value}`, flag.description] as const;
  });
  const width = Math.max(0, ...rows.map(([left]) => left.length)) + 2;
  return [
    summary, '', `Usage:\n  cleat ${usage}`, '',
    ...(examples.length > 0 ? ['Examples:', ...examples.map((line) => `  ${line}`), ''] : []),
    ...(rows.length > 0 ? ['Flags:', ...rows.map(([left, right]) => left.padEnd(width) + right), ''] : []),
  ].join('\n');
}
