import { StatusError } from '#common/errors.ts';
import type { RestClient } from './client.ts';
import { parseTargets, pathOf, resolveResource } from './resources.ts';
import type { Io } from './types.ts';

interface Meta { readonly name: string; readonly namespace: string; readonly annotations?: Readonly<Record<string, string>> }
type Names = readonly { readonly name: string }[];
export interface PodWithContainers {
  readonly metadata: Pick<Meta, 'name' | 'annotations'>;
  readonly spec: { readonly containers: Names; readonly initContainers?: Names; readonly ephemeralContainers?: Names };
}
export interface TargetPod {
  readonly metadata: Meta;
  readonly spec: { readonly containers: readonly { readonly name: string; readonly tty?: boolean; readonly stdin?: boolean; readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[] }[] };
  readonly status?: { readonly phase?: string };
}
interface Owner { readonly kind?: string; readonly spec?: { readonly selector?: Record<string, unknown> & { readonly matchLabels?: Record<string, string> }; readonly ports?: readonly ServicePort[] } }
export interface ServicePort { readonly port: number; readonly targetPort?: number | string }

/** The pod that is named, or a running one behind `deployment/web` or `service/web`; with a Service, its ports. */
export async function findPod(client: RestClient, name: string): Promise<{ readonly pod: TargetPod; readonly servicePorts: readonly ServicePort[] | undefined }> {
  const { namespace } = client.connection;
  const [target] = await parseTargets(client, [name.includes('/') ? name : `pods/${name}`], 'reach');
  if (!target) throw new StatusError('BadRequest', 'expected a pod, or TYPE/NAME');
  if (target.type.kind === 'Pod') return { pod: await client.json<TargetPod>('GET', pathOf(target.type, namespace, target.name)), servicePorts: undefined };
  const { kind, spec } = await client.json<Owner>('GET', pathOf(target.type, namespace, target.name));
  const selector = podSelectorOf(spec?.selector);
  if (selector === '') throw new StatusError('BadRequest', `${name} has no selector, so no pod stands behind it`);
  const { items } = await client.json<{ items: TargetPod[] }>('GET', `${pathOf(await resolveResource(client, 'pods'), namespace)}?labelSelector=${encodeURIComponent(selector)}`);
  const [pod] = items.filter(({ status }) => status?.phase === 'Running').sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  if (!pod) throw new StatusError('NotFound', `${name} has no running pods`);
  return { pod, servicePorts: kind === 'Service' ? spec?.ports ?? [] : undefined };
}

/** The labels of the pods behind a workload (`matchLabels` and `matchExpressions`) or a Service (a map) as a selector's text; empty without any. */
export function podSelectorOf(selector: Readonly<Record<string, unknown>> | undefined): string {
  const { matchLabels, matchExpressions, ...map } = (selector ?? {}) as { matchLabels?: Record<string, string>; matchExpressions?: readonly { key: string; operator: string; values?: readonly string[] }[] };
  const terms = Object.entries(matchLabels ?? (matchExpressions ? {} : map)).map(([key, value]) => `${key}=${String(value)}`);
  for (const { key, operator, values = [] } of matchExpressions ?? []) {
    if (operator === 'Exists') terms.push(key);
    else if (operator === 'DoesNotExist') terms.push(`!${key}`);
    else terms.push(`${key} ${operator.toLowerCase()} (${values.join(',')})`);
  }
  return terms.join(',');
}

/** The container that is meant: the one named, the one that the pod names as its default, or the first, which is said where there are others. */
export function containerOf(pod: PodWithContainers, named: string | undefined, io: Pick<Io, 'err'>): string {
  const { containers, initContainers = [], ephemeralContainers = [] } = pod.spec;
  const chosen = named ?? pod.metadata.annotations?.['kubectl.kubernetes.io/default-container'];
  if (chosen !== undefined) return chosen;
  const [first] = containers;
  const all = [...containers.map(({ name }) => name), ...ephemeralContainers.map(({ name }) => `${name} (ephem)`), ...initContainers.map(({ name }) => `${name} (init)`)];
  if (all.length > 1) io.err(`Defaulted container "${first?.name ?? ''}" out of: ${all.join(', ')}\n`);
  return first?.name ?? '';
}

/** The pod's path in the API. */
export function podPath({ metadata: { namespace, name } }: TargetPod): string {
  return `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;
}
