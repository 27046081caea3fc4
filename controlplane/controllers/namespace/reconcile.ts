import type { Namespace, NamespaceCondition } from '#api/gen/types.ts';
import { qualifiedName, type Resource } from '#api/kinds/resources.ts';
import { setCondition } from '#api/meta/conditions.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { rfc3339 } from '#common/time.ts';

/** The finalizer of namespaces that this controller answers for. */
export const finalizer = 'kubernetes';

/** What is left in a namespace after its content was deleted. */
export interface Leftover { readonly resource: Resource; readonly objects: readonly KubeObject[] }

export function isTerminating(namespace: Namespace | undefined): namespace is Namespace {
  return namespace?.metadata?.deletionTimestamp !== undefined && (namespace.spec?.finalizers?.includes(finalizer) ?? false);
}

/** What became of the content of a namespace. `unknown`: group versions of which nobody knows what they keep. */
export interface Contents { readonly leftovers: readonly Leftover[]; readonly failures: readonly string[]; readonly unknown: readonly string[] }

/** Conditions that tell a person why a namespace is still there, in Kubernetes' words. */
export function contentConditions(namespace: Namespace, { leftovers, failures, unknown }: Contents, nowMs: number): NamespaceCondition[] {
  const now = rfc3339(nowMs);
  const finalizers = countFinalizers(leftovers);
  const list = (counts: Iterable<readonly [string, number]>, text: (name: string, count: string) => string): string =>
    [...counts].map(([name, count]) => text(name, String(count))).sort().join(', ');
  const wanted: NamespaceCondition[] = [
    condition('NamespaceDeletionDiscoveryFailure', unknown.length > 0,
      ['DiscoveryFailed', `Discovery failed for some groups, ${String(unknown.length)} failing: unable to retrieve the complete list of server APIs: ${unknown.map((groupVersion) => `${groupVersion}: stale GroupVersion discovery: ${groupVersion}`).join(', ')}`],
       ['ResourcesDiscovered', 'All resources successfully discovered']),
    condition('NamespaceDeletionGroupVersionParsingFailure', false, ['', ''], ['ParsedGroupVersions', 'All legacy kube types successfully parsed']),
    condition('NamespaceDeletionContentFailure', failures.length > 0,
      ['ContentDeletionFailed', `Failed to delete all resource types, ${String(failures.length)} remaining: ${failures.join(', ')}`],
      ['ContentDeleted', 'All content successfully deleted, may be waiting on finalization']),
    condition('NamespaceContentRemaining', leftovers.length > 0,
      ['SomeResourcesRemain', `Some resources are remaining: ${list(leftovers.map((l) => [instanceName(l.resource), l.objects.length] as const), (name, count) => `${name} has ${count} resource instances`)}`],
      ['ContentRemoved', 'All content successfully removed']),
    condition('NamespaceFinalizersRemaining', finalizers.size > 0,
      ['SomeFinalizersRemain', `Some content in the namespace has finalizers remaining: ${list(finalizers, (name, count) => `${name} in ${count} resource instances`)}`],
      ['ContentHasNoFinalizers', 'All content-preserving finalizers finished']),
  ];
  return wanted.reduce((conditions, next) => setCondition(conditions, next, now), namespace.status?.conditions ?? []);
}

type Words = readonly [reason: string, message: string];

function condition(type: string, holds: boolean, yes: Words, no: Words): NamespaceCondition {
  const [reason, message] = holds ? yes : no;
  return { type, status: holds ? 'True' : 'False', reason, message };
}

/** `pods.`, `deployments.apps`: the core group ends in a dot. */
function instanceName(resource: Resource): string {
  return resource.group === '' ? `${resource.plural}.` : qualifiedName(resource);
}

function countFinalizers(leftovers: readonly Leftover[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of leftovers.flatMap(({ objects }) => objects.flatMap((object) => object.metadata?.finalizers ?? []))) {
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}
