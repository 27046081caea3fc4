import { attachOnceRunning, type RunningPod } from '../attach-container.ts';
import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { checkDebug, debugContainer, debugCopy, debugFlags, debuggerName, nodeDebugger, type Patient } from '../create/debug.ts';
import { refuse, type Flag } from '../flags.ts';
import { podPath } from '../pod-target.ts';
import { parseTargets, pathOf, resolveResource } from '../resources.ts';

const flags: readonly Flag[] = [
  ...debugFlags,
  { name: 'attach', type: 'bool', description: 'attach to the container once it runs; with --stdin unless said otherwise' },
  { name: 'quiet', short: 'q', type: 'bool', description: 'say nothing of what is done' },
];

export const command = clusterCommand({
  name: 'debug', usage: 'debug (POD | pod/NAME | node/NAME) --image=IMAGE [flags] [-- COMMAND ARGS ...]', flags,
  summary: 'Look into a pod with tools that it lacks: a container beside those that run, or a copy of the pod; or into a node.',
  examples: ['cleat debug web-0 -it --image=busybox --target=web', 'cleat debug web-0 -it --copy-to=web-debug --container=web -- sh', 'cleat debug web-0 --copy-to=web-debug --set-image=web=web:debug', 'cleat debug node/pi-2 -it --image=busybox'],
  run,
});

async function run(invocation: Invocation): Promise<number> {
  const { client, parsed, io, words = [] } = invocation;
  const own = parsed.args.slice(0, parsed.args.length - words.length);
  checkDebug(parsed);
  const [name = '', ...others] = own;
  if (name === '' || others.length > 0) throw refuse('debug', 'expected one pod, pod/NAME or node/NAME; the command goes behind --');
  const [target] = await parseTargets(client, [name.includes('/') ? name : `pods/${name}`], 'debug');
  if (target?.name === undefined || (target.type.kind !== 'Pod' && target.type.kind !== 'Node')) throw refuse('debug', `"${name}" not supported by debug: expected a pod or a node`);
  const [pod, container] = target.type.kind === 'Node' ? await debugNode(invocation, target.name, words) : await debugPod(invocation, target.name, words);
  const attach = parsed.has('attach') ? parsed.bool('attach') : parsed.bool('stdin');
  if (attach) await attachOnceRunning(client, pod, { container, stdin: parsed.bool('stdin'), tty: parsed.bool('tty'), timeoutMs: 0, quiet: parsed.bool('quiet') }, io);
  return io.interrupted.aborted ? 130 : 0;
}

type Debugged = readonly [pod: RunningPod, container: string];

async function debugPod({ client, parsed, io }: Invocation, name: string, words: readonly string[]): Promise<Debugged> {
  const pods = await resolveResource(client, 'pods');
  const { namespace } = client.connection;
  const patient = await client.json<Patient>('GET', pathOf(pods, namespace, name));
  const say = (text: string): void => { if (!parsed.bool('quiet')) io.err(`${text}\n`); };
  const container = debuggerName(patient, parsed);
  const target = parsed.string('target');
  if (target !== undefined) say(`Targeting container "${target}". If you don't see processes from this container it may be because the container runtime doesn't support this feature.`);
  const adds = parsed.has('image') || parsed.has('container');
  if (!parsed.has('container') && adds) say(`Defaulting debug container name to ${container}.`);
  if (!parsed.has('copy-to')) {
    const spec = { ephemeralContainers: [debugContainer(container, words, parsed)] };
    return [await client.json<RunningPod>('PATCH', `${pathOf(pods, namespace, name, 'ephemeralcontainers')}?fieldManager=kubectl-debug`, { spec }, { contentType: 'application/strategic-merge-patch+json' }), container];
  }
  const made = await client.json<RunningPod>('POST', `${pathOf(pods, namespace)}?fieldManager=kubectl-debug`, debugCopy(container, patient, words, parsed));
  // Only now: a copy that is refused must not cost the pod.
  if (parsed.bool('replace')) await client.json('DELETE', podPath(patient), { apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: 0 });
  return [made, adds ? container : made.spec.containers[0]?.name ?? ''];
}

async function debugNode({ client, parsed, io }: Invocation, node: string, words: readonly string[]): Promise<Debugged> {
  if (parsed.has('copy-to') || parsed.has('target')) throw refuse('debug', '--copy-to and --target are about pods, not nodes');
  await client.json('GET', pathOf(await resolveResource(client, 'nodes'), undefined, node));
  const pod = nodeDebugger(node, words, parsed);
  const made = await client.json<RunningPod>('POST', `${pathOf(await resolveResource(client, 'pods'), client.connection.namespace)}?fieldManager=kubectl-debug`, pod);
  const container = made.spec.containers[0]?.name ?? '';
  if (!parsed.bool('quiet')) io.err(`Creating debugging pod ${made.metadata.name} with container ${container} on node ${node}.\n`);
  return [made, container];
}
