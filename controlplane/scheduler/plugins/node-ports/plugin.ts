import type { HostPort, NodeInfo, Plugin, PodInfo, Rejection } from '../../types.ts';

const refused: Rejection = { reasons: ["node(s) didn't have free ports for the requested pod ports"], resolvable: true };

/** Two pods on a node cannot have the same host port. */
export function nodePorts(): Plugin {
  return {
    name: 'NodePorts',
    events: ['node-added', 'assigned-pod-deleted'],
    helps: (pod, { type, node, pod: other }) => (type === 'assigned-pod-deleted'
      ? other === undefined || pod.hostPorts.some((wanted) => other.hostPorts.some((used) => clash(wanted, used)))
      : node === undefined || fits(pod, node)),
    preFilter: (pod) => (pod.hostPorts.length === 0 ? 'skip' : undefined),
    filter: (pod, node) => (fits(pod, node) ? undefined : refused),
  };
}

function fits(pod: PodInfo, node: NodeInfo): boolean {
  return !pod.hostPorts.some((wanted) => node.hostPorts.some((used) => clash(wanted, used)));
}

const anyAddress = new Set(['0.0.0.0', '::']);

function clash(a: HostPort, b: HostPort): boolean {
  return a.port === b.port && a.protocol === b.protocol && (a.ip === b.ip || anyAddress.has(a.ip) || anyAddress.has(b.ip));
}
