import type { Pod } from '#api/gen/types.ts';
import { isStatus, messageOf, StatusError } from '#common/errors.ts';
import type { RestClient } from '../client.ts';
import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { choosePods, nameOf, type Choice } from '../drain/choose.ts';
import { cordon, selectNodes } from '../drain/nodes.ts';
import { dryRunFlag, dryRunOf } from '../dry-run.ts';
import type { Flag, ParsedFlags } from '../flags.ts';
import type { Io } from '../types.ts';
import { waitUntilGone } from '../wait.ts';

const flags: readonly Flag[] = [
  dryRunFlag,
  { name: 'selector', short: 'l', type: 'string', description: 'nodes with these labels' },
  { name: 'pod-selector', type: 'string', description: 'only pods with these labels' },
  { name: 'ignore-daemonsets', type: 'bool', description: 'leave pods of DaemonSets where they are' },
  { name: 'delete-emptydir-data', type: 'bool', description: 'also pods whose emptyDir volumes are lost with them' },
  { name: 'force', type: 'bool', description: 'also pods that nothing makes anew' },
  { name: 'disable-eviction', type: 'bool', description: 'delete pods whatever disruption budgets say' },
  { name: 'grace-period', type: 'int', default: '-1', description: 'seconds for pods to end in; -1 leaves it to them' },
  { name: 'timeout', type: 'duration', default: '0', description: 'how long to try; 0 is without end' },
];

const retryMs = 5000;

export const command = clusterCommand({
  name: 'drain', usage: 'drain NODE ... [flags]', summary: 'Empty nodes for maintenance: let no new pods come, and move away those that are there, no faster than their disruption budgets allow.', flags,
  examples: ['cleat drain pi-1 --ignore-daemonsets', 'cleat uncordon pi-1'], run,
});

async function run({ client, parsed, io }: Invocation): Promise<number> {
  const { mode, suffix } = dryRunOf('drain', parsed);
  const { nodes, failures } = await selectNodes('drain', client, parsed.args, parsed.string('selector'));
  if (failures.length > 0) throw failures[0];
  if (nodes.length === 0) io.err('No resources found\n');
  for (const node of nodes) {
    const did = await cordon(client, node, true, mode);
    io.out(`node/${node.metadata.name} ${did ? '' : 'already '}cordoned${suffix}\n`);
  }
  const left: { readonly name: string; readonly why: string }[] = [];
  for (const { metadata: { name } } of nodes) {
    try {
      const { evict, errors, warnings } = await podsOf(client, name, parsed);
      if (errors.length > 0) throw new StatusError('Conflict', errors.join(', '));
      if (warnings.length > 0) io.err(`Warning: ${warnings.join('; ')}\n`);
      if (mode === 'none') await Promise.all(evict.map((pod) => remove(client, pod, parsed, io)));
      else for (const pod of evict) io.out(`evicting pod ${nameOf(pod)}${suffix}\n`);
      io.out(`node/${name} drained${suffix}\n`);
    } catch (error) {
      if (io.interrupted.aborted) throw error;
      left.push({ name, why: messageOf(error) });
      io.err(`error: unable to drain node "${name}" due to error: ${messageOf(error)}, continuing command...\n`);
    }
  }
  if (left.length > 0) io.err(`There are pending nodes to be drained:\n${left.map(({ name }) => ` ${name}\n`).join('')}${left.map(({ why }) => `${why}\n`).join('')}`);
  return left.length > 0 ? 1 : 0;
}

async function podsOf(client: RestClient, node: string, parsed: ParsedFlags): Promise<Choice> {
  const query = new URLSearchParams({ fieldSelector: `spec.nodeName=${node}`, ...(parsed.has('pod-selector') && { labelSelector: parsed.string('pod-selector') ?? '' }) });
  const [pods, daemonSets] = await Promise.all([
    client.json<{ items: Pod[] }>('GET', `/api/v1/pods?${query.toString()}`),
    client.json<{ items: { metadata: { uid: string } }[] }>('GET', '/apis/apps/v1/daemonsets'),
  ]);
  return choosePods(pods.items, {
    force: parsed.bool('force'), ignoreDaemonSets: parsed.bool('ignore-daemonsets'), deleteEmptyDir: parsed.bool('delete-emptydir-data'),
    daemonSets: new Set(daemonSets.items.map(({ metadata }) => metadata.uid)),
  });
}

/** Evicts one pod, as often as its budget forbids it, and waits until it is gone. */
async function remove(client: RestClient, pod: Pod, parsed: ParsedFlags, io: Io): Promise<void> {
  const { name = '', namespace = '', uid } = pod.metadata ?? {};
  const timeoutMs = parsed.durationMs('timeout') ?? 0;
  const deadline = timeoutMs === 0 ? undefined : AbortSignal.timeout(timeoutMs);
  const signal = deadline ? AbortSignal.any([deadline, io.interrupted]) : io.interrupted;
  const grace = parsed.int('grace-period') ?? -1;
  const deleteOptions = { apiVersion: 'v1', kind: 'DeleteOptions', ...(grace >= 0 && { gracePeriodSeconds: grace }) };
  const list = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`;
  const path = `${list}/${encodeURIComponent(name)}`;
  for (;;) {
    io.err(`evicting pod ${namespace}/${name}\n`);
    try {
      if (parsed.bool('disable-eviction')) await client.json('DELETE', path, deleteOptions);
      else await client.json('POST', `${path}/eviction`, { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace }, deleteOptions });
      break;
    } catch (error) {
      if (isStatus(error, 'NotFound')) return;
      if (!isStatus(error, 'TooManyRequests')) throw new StatusError('InternalError', `error when evicting pods/"${name}" -n "${namespace}": ${messageOf(error)}`, { cause: error });
      io.err(`error when evicting pods/"${name}" -n "${namespace}" (will retry after 5s): ${messageOf(error)}\n`);
      await pause(retryMs, signal).catch(() => { throw timedOut(namespace, name, timeoutMs); });
    }
  }
  await waitUntilGone(client, list, name, uid, timeoutMs, io.interrupted);
  io.out(`pod/${name} evicted\n`);
}

function timedOut(namespace: string, name: string, timeoutMs: number): StatusError {
  return new StatusError('Timeout', `error when evicting pods/"${name}" -n "${namespace}": global timeout reached: ${String(timeoutMs / 1000)}s`);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => { resolve(undefined); }, ms);
  signal.addEventListener('abort', () => { clearTimeout(timer); reject(signal.reason as Error); }, { once: true });
  return promise;
}
