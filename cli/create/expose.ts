import { StatusError } from '#common/errors.ts';
import { refuse, type Flag, type ParsedFlags } from '../flags.ts';
import type { Manifest } from '../manifests.ts';
import { podSelectorOf } from '../pod-target.ts';
import { pairs } from './submit.ts';

export const exposeFlags: readonly Flag[] = [
  { name: 'port', type: 'string', description: "port of the Service, several with commas between; that of the containers when not given" },
  { name: 'target-port', type: 'string', description: "name or number of the containers' port; that of the Service when not given" },
  { name: 'protocol', type: 'string', description: 'TCP, UDP or SCTP; that of the containers when not given' },
  { name: 'name', type: 'string', description: 'name of the Service; that of the object when not given' },
  { name: 'type', type: 'string', description: 'ClusterIP, NodePort, LoadBalancer or ExternalName' },
  { name: 'selector', type: 'string', description: 'labels of its pods, KEY=VALUE,...; those of the object when not given' },
  { name: 'labels', short: 'l', type: 'string', description: 'labels of the Service, KEY=VALUE,...; those of the object when not given' },
  { name: 'external-ip', type: 'string', description: 'a further address at which hosts take traffic for it' },
  { name: 'load-balancer-ip', type: 'string', description: 'address that a Service of type LoadBalancer asks for' },
  { name: 'cluster-ip', type: 'string', description: 'address of the Service; None for a headless one' },
  { name: 'session-affinity', type: 'string', description: 'None or ClientIP' },
  { name: 'external-name', type: 'string', description: 'name that a Service of type ExternalName stands for' },
];

interface Port { readonly port: number; readonly protocol?: string }
interface Container { readonly ports?: readonly { readonly containerPort: number; readonly protocol?: string }[] }
/** A Service, Pod or workload, as far as it matters here. */
export interface Exposed {
  readonly kind?: string;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly spec?: {
    readonly selector?: Readonly<Record<string, unknown>>;
    readonly ports?: readonly Port[];
    readonly containers?: readonly Container[];
    readonly template?: { readonly spec?: { readonly containers?: readonly Container[] } };
  };
}

const exposable: ReadonlySet<string> = new Set(['Service', 'Pod', 'Deployment', 'ReplicaSet', 'ReplicationController']);
const maxName = 63;

/** The Service that makes the pods of an object reachable. */
export function serviceFor(kind: string, object: Exposed, parsed: ParsedFlags): Manifest {
  if (!exposable.has(kind)) throw new StatusError('BadRequest', `cannot expose a ${kind}; Services, Pods, Deployments, ReplicaSets and ReplicationControllers can be`);
  const labels = parsed.has('labels') ? pairs('expose', parsed.string('labels') ?? '', 'label') : object.metadata.labels;
  const name = parsed.string('name') ?? object.metadata.name.slice(0, maxName);
  const type = parsed.string('type');
  const some = (field: string, value: unknown): object => (value === undefined || value === '' ? {} : { [field]: value });
  const address = parsed.string('external-ip');
  return {
    apiVersion: 'v1', kind: 'Service', metadata: { name, ...(labels && Object.keys(labels).length > 0 && { labels }) },
    spec: {
      ports: portsOf(kind, object, parsed), selector: selectorOf(kind, object, parsed), ...some('type', type), ...some('externalIPs', address && [address]), ...some('externalName', parsed.string('external-name')),
      ...some('loadBalancerIP', parsed.string('load-balancer-ip')), ...some('clusterIP', parsed.string('cluster-ip')), ...some('sessionAffinity', parsed.string('session-affinity')),
    },
  };
}

function selectorOf(kind: string, { metadata, spec }: Exposed, parsed: ParsedFlags): Record<string, string> {
  const given = parsed.string('selector');
  const text = given ?? (kind === 'Pod' ? podSelectorOf(metadata.labels) : podSelectorOf(spec?.selector));
  if (text === '') throw new StatusError('BadRequest', kind === 'Pod' ? 'the pod has no labels and cannot be exposed: a Service finds its pods by labels; cleat label sets some' : "couldn't retrieve selectors via --selector flag or introspection: the object selects no pods; name their labels with --selector");
  if (given === undefined && spec?.selector?.['matchExpressions'] !== undefined) throw new StatusError('BadRequest', "couldn't retrieve selectors via --selector flag or introspection: a Service cannot select by expressions; name labels with --selector");
  return pairs('expose', text, 'selector');
}

function portsOf(kind: string, { spec }: Exposed, parsed: ParsedFlags): object[] {
  const target = parsed.string('target-port');
  const protocol = parsed.string('protocol')?.toUpperCase();
  const own: readonly Port[] = kind === 'Service' ? spec?.ports ?? [] : (spec?.template?.spec?.containers ?? spec?.containers ?? []).flatMap(({ ports = [] }) => ports.map((port) => ({ ...port, port: port.containerPort })));
  const given = parsed.string('port')?.split(',').map((text): Port => {
    const port = Number(text);
    if (!/^\d+$/.test(text) || port < 1 || port > 65_535) throw refuse('expose', `invalid port ${JSON.stringify(text)}: expected a number from 1 to 65535`);
    const known = own.find((one) => one.port === port)?.protocol;
    return { port, ...(known !== undefined && { protocol: known }) };
  });
  const ports = given ?? own;
  if (ports.length === 0) throw new StatusError('BadRequest', "couldn't find port via --port flag or introspection: the object names none; give it with --port\nSee 'cleat expose --help' for usage.");
  const targetPort = target === undefined ? undefined : /^\d+$/.test(target) ? Number(target) : target;
  return ports.map(({ port, protocol: known = 'TCP' }, i) => ({ ...(ports.length > 1 && { name: `port-${String(i + 1)}` }), port, protocol: protocol ?? known, targetPort: targetPort ?? port }));
}
