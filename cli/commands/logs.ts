import { isStatus, messageOf, StatusError } from '#common/errors.ts';
import type { RestClient } from '../client.ts';
import { connect } from '../cluster-command.ts';
import { copyOut } from '../copy-out.ts';
import { report } from '../error-text.ts';
import { clusterFlags, helpText, parseFlags, refuse, type Flag, type ParsedFlags } from '../flags.ts';
import { containerOf, podSelectorOf } from '../pod-target.ts';
import { parseTargets, pathOf, resolveResource, type ResourceType } from '../resources.ts';
import { listObjects } from '../selection.ts';
import type { Command, Io } from '../types.ts';

const flags: readonly Flag[] = [
  ...clusterFlags,
  { name: 'follow', short: 'f', type: 'bool', description: 'go on with what is written from now on' },
  { name: 'previous', short: 'p', type: 'bool', description: 'of the container before the last restart' },
  { name: 'container', short: 'c', type: 'string', description: 'this container' },
  { name: 'all-containers', type: 'bool', description: 'every container of the pod' },
  { name: 'all-pods', type: 'bool', description: 'of all pods of a workload; says before each line where it comes from' },
  { name: 'all-nodes', type: 'bool', description: 'of all these pods on every host, however many; says before each line which host it comes from' },
  { name: 'selector', short: 'l', type: 'string', description: 'of all pods with these labels' },
  { name: 'prefix', type: 'bool', description: 'say before each line where it comes from' },
  { name: 'tail', type: 'int', description: 'only this many last lines; 10 with a selector' },
  { name: 'since', type: 'duration', description: 'only lines newer than this, e.g. 5m' },
  { name: 'since-time', type: 'string', description: 'only lines after this time (RFC 3339)' },
  { name: 'timestamps', type: 'bool', description: 'the time before each line' },
  { name: 'limit-bytes', type: 'int', description: 'at most this many bytes' },
  { name: 'max-log-requests', type: 'int', default: '5', description: 'how many to follow at once' },
];

type Named = readonly { readonly name: string }[];
interface PodSpecPart { readonly nodeName?: string; readonly containers: Named; readonly initContainers?: Named; readonly ephemeralContainers?: Named }
interface Pod { readonly metadata: { readonly name: string; readonly namespace: string; readonly annotations?: Readonly<Record<string, string>> }; readonly spec: PodSpecPart; readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] } }
interface Source { readonly node: string | undefined; readonly pod: string; readonly container: string | undefined; readonly path: string }

export const command: Command = {
  help: () => helpText('logs (POD | TYPE/NAME | -l SELECTOR) [flags]', 'Print what containers wrote.', flags, ['cleat logs web -f', 'cleat logs deployment/web --tail=20', 'cleat logs -l app=web --all-containers', 'cleat logs -l app=web --all-nodes -f']),
  async run(argv, io) {
    const parsed = parseFlags('logs', flags, argv);
    const client = await connect(parsed, io);
    try {
      const sources = await findSources(client, parsed, io);
      if (sources.length === 0) {
        io.err(`No resources found in ${client.connection.namespace} namespace.\n`);
        return 0;
      }
      const limit = parsed.int('max-log-requests') ?? 5;
      if (parsed.bool('follow') && sources.length > limit && !parsed.bool('all-nodes')) throw new StatusError('BadRequest', `you are attempting to follow ${String(sources.length)} log streams, but maximum allowed concurrency is ${String(limit)}, use --max-log-requests to increase the limit`);
      const print = (source: Source): Promise<void> => stream(client, source, prefixOf(source, parsed), io);
      // One pod that has no log yet must not hide those of the others.
      const failures: unknown[] = [];
      const tried = (source: Source): Promise<unknown> => print(source).catch((error: unknown) => failures.push(error));
      if (parsed.bool('follow')) await Promise.all(sources.map(tried));
      else for (const source of sources) await tried(source);
      return io.interrupted.aborted ? 130 : report(failures, io);
    } finally {
      client.close();
    }
  },
};

function prefixOf({ node, pod, container }: Source, parsed: ParsedFlags): string {
  if (parsed.bool('all-nodes')) return `[${node ?? '<none>'} pod/${pod}/${container ?? ''}] `;
  return parsed.bool('prefix') || parsed.bool('all-pods') ? `[pod/${pod}/${container ?? ''}] ` : '';
}

async function findSources(client: RestClient, parsed: ParsedFlags, io: Io): Promise<Source[]> {
  const pods = await resolveResource(client, 'pods');
  const { namespace } = client.connection;
  const selector = parsed.string('selector');
  const [first = '', ...others] = parsed.args;
  if (first === '' && selector === undefined) throw refuse('logs', 'expected a pod, TYPE/NAME or -l SELECTOR');
  if (first !== '' && selector !== undefined) throw refuse('logs', 'only a selector (-l) or a POD name is allowed');
  if ((parsed.int('tail') ?? -1) < -1) throw refuse('logs', '--tail must be greater than or equal to -1');
  if (parsed.has('since') && parsed.has('since-time')) throw refuse('logs', 'at most one of --since and --since-time may be used');
  if (others.length > 1) throw refuse('logs', `unexpected arguments: ${others.slice(1).join(' ')}`);
  const container = parsed.string('container') ?? others[0];
  if (container !== undefined && parsed.bool('all-containers')) throw refuse('logs', `--all-containers=true should not be specified with container name ${container}`);
  const list = async (labels: string): Promise<Pod[]> => (await listObjects<{ items: Pod[] }>(client, pods, namespace, { labels })).items;
  // A container that is named needs no look-up: the server explains what is wrong.
  if (selector === undefined && !first.includes('/') && container !== undefined && !['all-containers', 'all-pods', 'all-nodes', 'prefix'].some((flag) => parsed.bool(flag))) {
    return [sourceOf(pods, namespace, { metadata: { name: first } }, container, parsed, undefined)];
  }
  const chosen = selector === undefined ? await podsBehind(client, pods, first, list, parsed, io) : await list(selector);
  return chosen.flatMap((pod) => {
    if (container !== undefined && !containersOf(pod).some(({ name }) => name === container)) throw new StatusError('BadRequest', `container ${container} is not valid for pod ${pod.metadata.name}`);
    const names = parsed.bool('all-containers') ? containersOf(pod).map(({ name }) => name) : [containerOf(pod, container, io)];
    return names.map((name) => sourceOf(pods, namespace, pod, name, parsed, selector === undefined ? undefined : 10));
  });
}

function containersOf({ spec }: Pod): readonly { readonly name: string }[] {
  return [...(spec.initContainers ?? []), ...spec.containers, ...(spec.ephemeralContainers ?? [])];
}

/** The pod named, or for `deployment/web` one of its pods, the one most worth reading, or all. */
async function podsBehind(client: RestClient, pods: ResourceType, name: string, list: (labels: string) => Promise<Pod[]>, parsed: ParsedFlags, io: Io): Promise<Pod[]> {
  const { namespace } = client.connection;
  const [target = { type: pods, name }] = await parseTargets(client, [name.includes('/') ? name : `pods/${name}`], 'logs');
  const object = await client.json<Pod & { spec?: { selector?: Record<string, unknown> } }>('GET', pathOf(target.type, namespace, target.name)).catch((error: unknown) => {
    throw isStatus(error, 'NotFound') ? new StatusError(error.code, `error from server (${error.code}): ${error.message} in namespace "${namespace}"`) : error;
  });
  if (target.type.kind === 'Pod') return [object];
  const { spec } = object;
  const selector = podSelectorOf(spec?.selector);
  if (selector === '') throw new StatusError('BadRequest', `cannot get the logs of ${name}: it has no selector, so no pods stand behind it`);
  const found = (await list(selector)).sort((a, b) => Number(isReady(b)) - Number(isReady(a)) || (a.metadata.name < b.metadata.name ? -1 : 1));
  const [pod] = found;
  if (!pod) throw new StatusError('NotFound', `${name} has no pods`);
  if (parsed.bool('all-pods') || parsed.bool('all-nodes')) return found;
  if (found.length > 1) io.err(`Found ${String(found.length)} pods, using pod/${pod.metadata.name}\n`);
  return [pod];
}

function isReady({ status }: Pod): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true;
}

function sourceOf(pods: ResourceType, namespace: string, pod: { readonly metadata: { readonly name: string }; readonly spec?: { readonly nodeName?: string } }, container: string | undefined, parsed: ParsedFlags, defaultTail: number | undefined): Source {
  const query = new URLSearchParams();
  const sinceMs = parsed.durationMs('since');
  const tail = parsed.int('tail') ?? defaultTail;
  if (container !== undefined) query.set('container', container);
  for (const flag of ['follow', 'previous', 'timestamps']) if (parsed.bool(flag)) query.set(flag, 'true');
  if (tail !== undefined && tail >= 0) query.set('tailLines', String(tail));
  if (sinceMs !== undefined) query.set('sinceSeconds', String(Math.max(1, Math.ceil(sinceMs / 1000))));
  if (parsed.has('since-time')) query.set('sinceTime', parsed.string('since-time') ?? '');
  if ((parsed.int('limit-bytes') ?? 0) !== 0) query.set('limitBytes', parsed.string('limit-bytes') ?? '');
  return { node: pod.spec?.nodeName, pod: pod.metadata.name, container, path: `${pathOf(pods, namespace, pod.metadata.name, 'log')}?${query.toString()}` };
}

async function stream(client: RestClient, source: Source, prefix: string, io: Io): Promise<void> {
  try {
    const log = client.bytes(source.path);
    await copyOut(prefix === '' ? log : prefixed(log, prefix), io.out.bind(io));
  } catch (error) {
    if (io.interrupted.aborted) return;
    if (!isStatus(error)) throw new StatusError('ServiceUnavailable', `the log of ${source.pod} ended: ${messageOf(error)}`, { cause: error });
    throw error;
  }
}

/** What a program writes without end is cut. */
const longestLineBytes = 256 << 10;

/** Whole lines, each behind a prefix. */
async function* prefixed(log: AsyncIterable<Buffer>, prefix: string): AsyncGenerator<Buffer, void, undefined> {
  let rest = Buffer.alloc(0);
  for await (const chunk of log) {
    const text = Buffer.concat([rest, chunk]);
    const end = text.lastIndexOf(0x0a) + 1;
    rest = text.subarray(end);
    if (end > 0) yield Buffer.from(text.toString('utf8', 0, end - 1).split('\n').map((line) => `${prefix}${line}\n`).join(''));
    if (rest.length > longestLineBytes) {
      yield Buffer.from(`${prefix}${rest.toString('utf8')}\n`);
      rest = Buffer.alloc(0);
    }
  }
  if (rest.length > 0) yield Buffer.from(`${prefix}${rest.toString('utf8')}\n`);
}
