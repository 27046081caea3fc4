import type { LabelSelector, ObjectMeta, Pod } from '#api/gen/types.ts';
import { matchesLabels, requirementsOf } from '#api/meta/selectors.ts';
import type { DescribeContext } from './types.ts';

/** `2 Running / 0 Waiting / 0 Succeeded / 0 Failed`: the pods that an object controls. */
export async function podCounts({ client }: DescribeContext, metadata: ObjectMeta | undefined, selector: LabelSelector | undefined): Promise<string> {
  const { items } = await client.json<{ items: Pod[] }>('GET', `/api/v1/namespaces/${metadata?.namespace ?? ''}/pods`);
  const requirements = requirementsOf(selector);
  const own = items.filter((pod) => pod.metadata?.ownerReferences?.some(({ uid }) => uid === metadata?.uid) && matchesLabels(requirements, pod.metadata.labels));
  const count = (phase: string): string => String(own.filter((pod) => pod.status?.phase === phase).length);
  return `${count('Running')} Running / ${count('Pending')} Waiting / ${count('Succeeded')} Succeeded / ${count('Failed')} Failed`;
}
