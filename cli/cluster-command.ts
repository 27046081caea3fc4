import { RestClient } from './client.ts';
import { clusterFlags, helpText, parseFlags, type Flag, type ParsedFlags } from './flags.ts';
import { readConnection } from './kubeconfig.ts';
import type { Command, Io } from './types.ts';

/** What a command that speaks to a cluster works with. */
export interface Invocation {
  readonly client: RestClient;
  readonly parsed: ParsedFlags;
  readonly io: Io;
  /** The words after `--`, where there is one; the last of `parsed.args`, too. */
  readonly words: readonly string[] | undefined;
}

interface ClusterCommand {
  readonly name: string;
  /** After `cleat `, as the help shows it. */
  readonly usage: string;
  readonly summary: string;
  readonly flags: readonly Flag[];
  readonly examples?: readonly string[];
  /** Resolves with the exit code. */
  readonly run: (invocation: Invocation) => Promise<number>;
}

/** A client of the cluster that flags name; warnings are said, and Ctrl-C ends what is asked. Close it. */
export async function connect(parsed: ParsedFlags, io: Io): Promise<RestClient> {
  return new RestClient(await readConnection(parsed, io.env), io);
}

/** A command with a connection to the cluster that its flags name, closed when it ends. */
export function clusterCommand({ name, usage, summary, flags, examples = [], run }: ClusterCommand): Command {
  const all = [...clusterFlags, ...flags];
  return {
    help: () => helpText(usage, summary, all, examples),
    async run(argv, io) {
      const end = argv.indexOf('--');
      const parsed = parseFlags(name, all, argv);
      const client = await connect(parsed, io);
      try {
        return await run({ client, parsed, io, words: end < 0 ? undefined : argv.slice(end + 1) });
      } finally {
        client.close();
      }
    },
  };
}
