import type { Plugin, Rejection } from '../../types.ts';

const refused: Rejection = { reasons: ["node(s) didn't match the requested node name"], resolvable: false };

/** A pod that names its node goes there or nowhere. */
export function nodeName(): Plugin {
  return {
    name: 'NodeName',
    events: ['node-added'],
    helps: (pod, { node }) => node === undefined || pod.pod.spec?.nodeName === node.name,
    preFilter: (pod) => (pod.pod.spec?.nodeName ? undefined : 'skip'),
    filter: (pod, node) => (pod.pod.spec?.nodeName === node.name ? undefined : refused),
  };
}
