import type { Node } from '#api/gen/types.ts';
import { qualifiedName } from '#api/kinds/resources.ts';
import type { AdmissionPlugin } from './types.ts';

const key = 'node.kubernetes.io/not-ready';

/** A new node gets no pods before it has said that it is ready; then its taint is taken off. */
export const taintNewNodes: AdmissionPlugin = {
  name: 'TaintNodesByCondition',
  admit({ operation, kind, subresource, object }) {
    if (operation !== 'create' || subresource !== undefined || qualifiedName(kind.resource) !== 'nodes') return;
    const node = object as Node;
    const spec = (node.spec ??= {});
    if (!spec.taints?.some((taint) => taint.key === key && taint.effect === 'NoSchedule')) spec.taints = [...spec.taints ?? [], { key, effect: 'NoSchedule' }];
  },
};
