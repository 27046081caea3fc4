import { connectUser } from '../command-streams.ts';
import { RestClient } from '../client.ts';
import { clusterFlags, helpText, parseFlags, refuse, type Flag } from '../flags.ts';
import { readConnection } from '../kubeconfig.ts';
import { containerOf, findPod, podPath } from '../pod-target.ts';
import { openSpdy } from '../stream-client.ts';
import type { Command } from '../types.ts';

const flags: readonly Flag[] = [
  ...clusterFlags,
  { name: 'container', short: 'c', type: 'string', description: 'to this container' },
  { name: 'stdin', short: 'i', type: 'bool', description: 'pass standard input on to the program' },
  { name: 'tty', short: 't', type: 'bool', description: 'use the program\'s terminal, if it has one' },
];

export const command: Command = {
  help: () => helpText('attach (POD | TYPE/NAME) [flags]', 'Connect to the program of a container that runs.', flags, ['cleat attach web-0', 'cleat attach -i -t deployment/shell']),
  async run(argv, io) {
    const parsed = parseFlags('attach', flags, argv);
    const [name, ...others] = parsed.args;
    if (name === undefined || others.length > 0) throw refuse('attach', 'expected one pod, or TYPE/NAME');
    const client = new RestClient(await readConnection(parsed, io.env));
    try {
      const { pod } = await findPod(client, name);
      const container = containerOf(pod, parsed.string('container'));
      const tty = parsed.bool('tty') && io.terminal && pod.spec.containers.find((one) => one.name === container)?.tty === true;
      const query = new URLSearchParams({ container, stdout: 'true', stderr: String(!tty), stdin: String(parsed.bool('stdin')), tty: String(tty) });
      const connection = await openSpdy(client, `${podPath(pod)}/attach?${query.toString()}`, 'v4.channel.k8s.io');
      return await connectUser(connection, io, { stdin: parsed.bool('stdin'), tty });
    } finally {
      client.close();
    }
  },
};
