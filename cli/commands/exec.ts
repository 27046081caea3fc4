import { clusterCommand } from '../cluster-command.ts';
import { connectPod } from '../command-streams.ts';
import { refuse, type Flag } from '../flags.ts';
import { containerOf, findPod } from '../pod-target.ts';

const flags: readonly Flag[] = [
  { name: 'container', short: 'c', type: 'string', description: 'in this container' },
  { name: 'stdin', short: 'i', type: 'bool', description: 'pass standard input on to the command' },
  { name: 'tty', short: 't', type: 'bool', description: 'give the command a terminal' },
];

export const command = clusterCommand({
  name: 'exec', usage: 'exec (POD | TYPE/NAME) [flags] -- COMMAND [ARGS]', summary: 'Run a command in a container.', flags, examples: ['cleat exec web-0 -- date', 'cleat exec -i -t deployment/web -- sh'],
  async run({ client, parsed, io, words }) {
    const [name, ...others] = words ? parsed.args.slice(0, parsed.args.length - words.length) : parsed.args;
    const command = words ?? others;
    if (name === undefined || (words && others.length > 0)) throw refuse('exec', 'expected one pod, or TYPE/NAME');
    if (command.length === 0) throw refuse('exec', 'you must specify at least one command for the container');
    const { pod } = await findPod(client, name);
    return connectPod(client, pod, { what: 'exec', container: containerOf(pod, parsed.string('container'), io), command, stdin: parsed.bool('stdin'), tty: parsed.bool('tty') && io.terminal }, io);
  },
});
