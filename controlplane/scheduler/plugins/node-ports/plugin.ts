import type { HostPort, Plugin, Rejection } from '../../types.ts';

const refused: Rejection = { reasons: ["node(s) didn't have free ports for the requested pod ports"], resolvable: true };

/** Two pods on a node cannot have the same host port. */
export function nodePorts(): Plugin {
  return {
    name: 'NodePorts',
    events: ['node-added', 'assigned-pod-deleted'],
    preFilter: (pod) => (pod.hostPorts.length === 0 ? 'skip' : undefined),
    filter: (pod, node) => (pod.hostPorts.some((wanted) => node.hostPorts.some((used) => clash(wanted, used))) ? refused : undefined),
  };
}

const anyAddress = new Set(['0.0.0.0', '::']);

function clash(a: HostPort, b: HostPort): boolean {
  return a.port === b.port && a.protocol === b.protocol && (a.ip === b.ip || anyAddress.has(a.ip) || anyAddress.has(b.ip));
}
