import { clusterCommand } from '../cluster-command.ts';
import { connectPod } from '../command-streams.ts';
import { refuse, type Flag } from '../flags.ts';
import { containerOf, findPod } from '../pod-target.ts';

const flags: readonly Flag[] = [
  { name: 'container', short: 'c', type: 'string', description: 'to this container' },
  { name: 'stdin', short: 'i', type: 'bool', description: 'pass standard input on to the program' },
  { name: 'tty', short: 't', type: 'bool', description: 'use the program\'s terminal, if it has one' },
];

export const command = clusterCommand({
  name: 'attach', usage: 'attach (POD | TYPE/NAME) [flags]', summary: 'Connect to the program of a container that runs.', flags, examples: ['cleat attach web-0', 'cleat attach -i -t deployment/shell'],
  async run({ client, parsed, io }) {
    const [name, ...others] = parsed.args;
    if (name === undefined || others.length > 0) throw refuse('attach', 'expected one pod, or TYPE/NAME');
    const { pod } = await findPod(client, name);
    const container = containerOf(pod, parsed.string('container'), io);
    const hasTerminal = pod.spec.containers.find((one) => one.name === container)?.tty === true;
    return connectPod(client, pod, { what: 'attach', container, command: [], stdin: parsed.bool('stdin'), tty: parsed.bool('tty') && io.terminal && hasTerminal }, io);
  },
});
