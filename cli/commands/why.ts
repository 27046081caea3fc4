import type { Pod } from '#api/gen/types.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import type { RestClient } from '../client.ts';
import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { refuse, type Flag } from '../flags.ts';
import { parseTargets, pathOf, resolveResource } from '../resources.ts';
import { listObjects } from '../selection.ts';
import { Gatherer } from '../why/gather.ts';
import type { Explanation, Finding } from '../why/types.ts';
import type { WorkloadExplanation } from '../why/workload.ts';

const flags: readonly Flag[] = [
  { name: 'all-namespaces', short: 'A', type: 'bool', description: 'of all namespaces, where no name is given' },
  { name: 'selector', short: 'l', type: 'string', description: 'of those with these labels' },
  { name: 'output', short: 'o', type: 'string', description: 'json or yaml' },
];

const kinds: ReadonlySet<string> = new Set(['Pod', 'Deployment', 'ReplicaSet', 'ReplicationController', 'StatefulSet', 'DaemonSet', 'Job', 'CronJob', 'Service']);
/** Tells "it is not well" from 1, "it could not be found out". */
const notWell = 2;

type Told = Explanation & Partial<Pick<WorkloadExplanation, 'pods'>>;

export const command = clusterCommand({
  name: 'why', usage: 'why (POD | TYPE/NAME | TYPE) [flags]', flags,
  summary: 'Say in plain words why a pod is not running, and what would change that. Of a workload, why its pods are not; of a type, of all that are not well.\n\nExit code: 0 when all is well, 2 when something is not, 1 when that could not be found out.',
  examples: ['cleat why pod/web-0', 'cleat why deployment/web', 'cleat why pods -A', 'cleat why web-0 -o json'],
  async run(invocation) {
    const { parsed, io } = invocation;
    const output = parsed.string('output');
    if (output !== undefined && output !== 'json' && output !== 'yaml') throw refuse('why', `unable to match a printer suitable for the output format "${output}", allowed formats are: json,yaml`);
    const { told, single } = await explain(invocation);
    const unwell = told.filter(({ state }) => state !== 'fine' && state !== 'finished');
    if (output !== undefined) io.out(await formatted(single ? told[0] : unwell, output));
    else if (single) io.out(told.map(textOf).join('\n'));
    else if (unwell.length > 0) io.out(unwell.map(textOf).join('\n'));
    else io.out(told.length === 0 ? 'There are none.\n' : `All ${String(told.length)} are well.\n`);
    return unwell.length > 0 ? notWell : 0;
  },
});

async function explain({ client, parsed }: Invocation): Promise<{ readonly told: readonly Told[]; readonly single: boolean }> {
  const [first, ...rest] = parsed.args;
  if (first === undefined) throw refuse('why', 'expected a pod, TYPE/NAME or TYPE');
  const gatherer = new Gatherer(client);
  const { namespace } = client.connection;
  const [target, ...others] = await parseTargets(client, rest.length > 0 || first.includes('/') || await isType(client, first) ? parsed.args : ['pods', first], 'explain');
  if (!target || others.length > 0) throw refuse('why', 'expected one pod, TYPE/NAME or TYPE');
  const { type, name } = target;
  if (!kinds.has(type.kind)) throw new StatusError('BadRequest', `cleat why explains pods and what makes them, not ${type.plural}; see cleat describe ${type.singular}`);
  const tell = (object: Pod): Promise<Told> => (type.kind === 'Pod' ? gatherer.pod(object) : gatherer.workload(type, object as Parameters<Gatherer['workload']>[1]));
  if (name !== undefined) return { told: [await tell(await client.json<Pod>('GET', pathOf(type, namespace, name)))], single: true };
  const { items } = await listObjects<{ items: Pod[] }>(client, type, parsed.bool('all-namespaces') ? undefined : namespace, { labels: parsed.string('selector') });
  const told: Told[] = [];
  // One after the other: many at once would be many requests at once.
  for (const item of items) told.push(await tell(item));
  return { told, single: false };
}

/** A bare word is a type, or else the name of a pod. */
async function isType(client: RestClient, word: string): Promise<boolean> {
  return resolveResource(client, word).then(() => true, (error: unknown) => {
    if (isStatus(error, 'NotFound')) return false;
    throw error;
  });
}

function textOf(explanation: Told): string {
  const { object, namespace, summary, findings, pods = [] } = explanation;
  const lines = [`${object} in namespace ${namespace} ${summary}.`, ...findings.flatMap(findingLines)];
  for (const group of Map.groupBy(pods, ({ findings: own }) => JSON.stringify(own.map(({ says }) => says))).values()) {
    const [one] = group;
    if (!one) continue;
    const names = group.map(({ object: name }) => name.replace('pod/', ''));
    const which = names.length === 1 ? `Its pod ${names[0] ?? ''}` : `Each of its ${String(names.length)} pods ${names.slice(0, 3).join(', ')}${names.length > 3 ? ' …' : ''}`;
    // They may be on different nodes.
    const alike = group.every(({ summary: other }) => other === one.summary);
    lines.push('', `${which} ${alike ? one.summary : 'is not well'}.`, ...one.findings.flatMap(findingLines));
  }
  return `${lines.join('\n')}\n`;
}

function findingLines({ says, helps }: Finding): string[] {
  return ['', `  Why:   ${says}`, ...helps.map((help, i) => `  ${i === 0 ? 'Helps:' : '      '} ${help}`)];
}

async function formatted(value: unknown, output: string): Promise<string> {
  return output === 'json' ? `${JSON.stringify(value, null, 4)}\n` : (await import('../yaml.ts')).formatYaml(value);
}
