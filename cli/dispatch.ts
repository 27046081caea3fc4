import { verbFirst } from './flags.ts';
import type { Command, Commands, Io } from './types.ts';

interface Known {
  readonly commands: Commands;
  /** What `--help` alone says. */
  readonly usage: string;
}

/** Runs what a command line says. Resolves with the exit code; rejects with what the command failed by. */
export async function dispatch(argv: readonly string[], { commands, usage }: Known, io: Io): Promise<number> {
  const [verb = 'help', ...rest] = verbFirst(argv);
  if (verb === '__complete') return complete(rest, commands, io);
  const helping = ['help', '--help', '-h'].includes(verb);
  if (helping && (verb !== 'help' || rest[0] === undefined)) {
    io.out(usage);
    return 0;
  }
  const [name, words] = helping ? [rest[0] ?? '', rest.slice(1)] : [verb === '--version' ? 'version' : verb, rest];
  const command = await find(commands, name);
  if (!command) {
    io.err(`error: ${name.startsWith('-') ? `say what to do, too: "${argv.join(' ')}" has no command` : `unknown command ${JSON.stringify(name)} for "cleat"`}\nSee 'cleat --help'.\n`);
    return 1;
  }
  const own = words.includes('--') ? words.slice(0, words.indexOf('--')) : words;
  if (helping || own.includes('--help') || own.includes('-h')) {
    io.out(await command.help(words));
    return 0;
  }
  return command.run(words, io);
}

async function find(commands: Commands, name: string): Promise<Command | undefined> {
  return Object.hasOwn(commands, name) ? (await commands[name]?.())?.command : undefined;
}

/** For the scripts of `cleat completion`. Says nothing rather than an error: the user is typing. */
async function complete(words: readonly string[], commands: Commands, io: Io): Promise<number> {
  const { completions } = await import('./completion/completions.ts');
  io.out((await completions(words, Object.keys(commands), async (verb) => await (await find(commands, verb))?.help() ?? '', io)).map((word) => `${word}\n`).join(''));
  return 0;
}
