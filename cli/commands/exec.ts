import { connectUser } from '../command-streams.ts';
import { RestClient } from '../client.ts';
import { clusterFlags, helpText, parseFlags, refuse, type Flag } from '../flags.ts';
import { readConnection } from '../kubeconfig.ts';
import { containerOf, findPod, podPath } from '../pod-target.ts';
import { openSpdy } from '../stream-client.ts';
import type { Command } from '../types.ts';

const flags: readonly Flag[] = [
  ...clusterFlags,
  { name: 'container', short: 'c', type: 'string', description: 'in this container' },
  { name: 'stdin', short: 'i', type: 'bool', description: 'pass standard input on to the command' },
  { name: 'tty', short: 't', type: 'bool', description: 'give the command a terminal' },
];

export const command: Command = {
  help: () => helpText('exec (POD | TYPE/NAME) [flags] -- COMMAND [ARGS]', 'Run a command in a container.', flags, ['cleat exec web-0 -- date', 'cleat exec -i -t deployment/web -- sh']),
  async run(argv, io) {
    const end = argv.indexOf('--');
    const parsed = parseFlags('exec', flags, end < 0 ? argv : argv.slice(0, end));
    const [name, ...others] = parsed.args;
    const words = end < 0 ? others : argv.slice(end + 1);
    if (name === undefined || (end >= 0 && others.length > 0)) throw refuse('exec', 'expected one pod, or TYPE/NAME');
    if (words.length === 0) throw refuse('exec', 'you must specify at least one command for the container');
    const client = new RestClient(await readConnection(parsed, io.env));
    try {
      const { pod } = await findPod(client, name);
      const tty = parsed.bool('tty') && io.terminal;
      const query = new URLSearchParams({ container: containerOf(pod, parsed.string('container')), stdout: 'true', stderr: String(!tty), stdin: String(parsed.bool('stdin')), tty: String(tty) });
      for (const word of words) query.append('command', word);
      const connection = await openSpdy(client, `${podPath(pod)}/exec?${query.toString()}`, 'v4.channel.k8s.io');
      return await connectUser(connection, io, { stdin: parsed.bool('stdin'), tty });
    } finally {
      client.close();
    }
  },
};
