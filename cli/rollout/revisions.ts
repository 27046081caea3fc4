import type { PodTemplateSpec } from '#api/gen/types.ts';
import { StatusError } from '#common/errors.ts';
import type { RestClient } from '../client.ts';
import { podSelectorOf } from '../pod-target.ts';
import { pathOf } from '../resources.ts';
import type { Selected } from '../selection.ts';

/** One state that a workload can be put back to. */
export interface Revision {
  readonly number: number;
  readonly cause: string | undefined;
  readonly template: PodTemplateSpec;
  /** Annotations that go back with the template. */
  readonly annotations: Readonly<Record<string, string>>;
}

type Annotations = Readonly<Record<string, string>>;
interface Owned { readonly metadata: { readonly annotations?: Annotations; readonly ownerReferences?: readonly { readonly uid: string }[] } }
interface ReplicaSet extends Owned { readonly spec: { readonly template: PodTemplateSpec } }
interface ControllerRevision extends Owned { readonly revision: number; readonly data?: { readonly spec?: { readonly template?: PodTemplateSpec & { readonly $patch?: string } } } }

const causeAnnotation = 'kubernetes.io/change-cause';
export const revisionAnnotation = 'deployment.kubernetes.io/revision';
/** What the Deployment controller keeps in a ReplicaSet for itself. */
const ownAnnotations: ReadonlySet<string> = new Set([revisionAnnotation, 'deployment.kubernetes.io/revision-history', 'deployment.kubernetes.io/desired-replicas', 'deployment.kubernetes.io/max-replicas', 'deprecated.deployment.rollback.to', 'kubectl.kubernetes.io/last-applied-configuration']);

/** The revisions that are kept of a Deployment, DaemonSet or StatefulSet, oldest first. */
export async function revisionsOf(client: RestClient, { type, namespace, name }: Selected): Promise<readonly Revision[]> {
  const workload = await client.json<{ metadata: { uid: string }; spec: { selector: Readonly<Record<string, unknown>> } }>('GET', pathOf(type, namespace, name));
  const ofWorkload = ({ metadata }: Owned): boolean => metadata.ownerReferences?.some(({ uid }) => uid === workload.metadata.uid) === true;
  const query = `?labelSelector=${encodeURIComponent(podSelectorOf(workload.spec.selector))}`;
  const root = `/apis/apps/v1/namespaces/${encodeURIComponent(namespace ?? '')}`;
  if (type.kind === 'Deployment') {
    const { items } = await client.json<{ items: ReplicaSet[] }>('GET', `${root}/replicasets${query}`);
    return items.filter(ofWorkload).map(({ metadata: { annotations = {} }, spec: { template } }) => ({
      number: Number(annotations[revisionAnnotation] ?? 0), cause: annotations[causeAnnotation], template: withoutHash(template),
      annotations: Object.fromEntries(Object.entries(annotations).filter(([key]) => !ownAnnotations.has(key))),
    })).sort((a, b) => a.number - b.number);
  }
  const { items } = await client.json<{ items: ControllerRevision[] }>('GET', `${root}/controllerrevisions${query}`);
  return items.filter(ofWorkload).map(({ revision, metadata: { annotations = {} }, data }) => {
    const { $patch: _patch, ...template } = data?.spec?.template ?? {};
    return { number: revision, cause: annotations[causeAnnotation], template: template as PodTemplateSpec, annotations: {} };
  }).sort((a, b) => a.number - b.number);
}

/** The revision asked for; 0 is the one before the newest. */
export function chosenRevision(revisions: readonly Revision[], number: number, what: string): Revision {
  const found = number === 0 ? revisions.at(-2) : revisions.find((revision) => revision.number === number);
  if (!found) throw new StatusError('NotFound', number === 0 ? `no rollout history found for ${what}` : 'unable to find the specified revision');
  return found;
}

function withoutHash(template: PodTemplateSpec): PodTemplateSpec {
  const { 'pod-template-hash': _hash, ...labels } = template.metadata?.labels ?? {};
  return { ...template, metadata: { ...template.metadata, labels } };
}
