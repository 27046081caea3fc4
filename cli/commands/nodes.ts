import { fenceAnnotation } from '#api/disconnect/policy.ts';
import { connect } from '../cluster-command.ts';
import { clusterFlags, helpText, parseFlags, refuse, refuseMore, type Flag } from '../flags.ts';
import { nodeHardware, temperatureText, wearText } from '../node-hardware.ts';
import { humanAge } from '../printing/age.ts';
import { cores, mebi } from '../printing/quantity.ts';
import { columns } from '../printing/table.ts';
import type { Command } from '../types.ts';

const flags: readonly Flag[] = [
  ...clusterFlags,
  { name: 'selector', short: 'l', type: 'string', description: 'only nodes with these labels' },
  { name: 'output', short: 'o', type: 'string', description: 'json' },
  { name: 'no-headers', type: 'bool', description: 'leave the header line out' },
];

interface Node {
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly spec?: { readonly unschedulable?: boolean; readonly taints?: readonly { readonly key: string; readonly effect: string }[] };
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly addresses?: readonly { readonly type: string; readonly address: string }[];
    readonly nodeInfo?: { readonly architecture: string; readonly kubeletVersion: string; readonly containerRuntimeVersion: string };
    readonly capacity?: Readonly<Record<string, string>>;
  };
}
interface Metrics { readonly metadata: { readonly name: string }; readonly usage: { readonly cpu: string; readonly memory: string } }
interface Lease { readonly metadata: { readonly name: string }; readonly spec?: { readonly renewTime?: string } }
interface Pod { readonly spec?: { readonly nodeName?: string }; readonly status?: { readonly phase?: string } }

export const command: Command = {
  help: () => helpText('nodes [flags]', 'The fleet at a glance: state, load, temperature and what slows a Pi down, how worn its disk is, pods, and when each host was last heard of.', flags),
  async run(argv, io) {
    const parsed = parseFlags('nodes', flags, argv);
    refuseMore('nodes', parsed.args);
    const output = parsed.string('output');
    if (output !== undefined && output !== 'json') throw refuse('nodes', "--output must be 'json'; cleat get nodes has the others");
    const client = await connect(parsed, io);
    try {
      const query = parsed.has('selector') ? `?labelSelector=${encodeURIComponent(parsed.string('selector') ?? '')}` : '';
      const list = await client.json<{ items: Node[] }>('GET', `/api/v1/nodes${query}`);
      const [leases, pods, metrics, bodies] = await Promise.all([
        client.json<{ items: Lease[] }>('GET', '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases'),
        client.json<{ items: Pod[] }>('GET', '/api/v1/pods'),
        // Load is a courtesy: a node that cannot tell must not keep the rest from being shown.
        client.json<{ items: Metrics[] }>('GET', '/apis/metrics.k8s.io/v1beta1/nodes').catch(() => ({ items: [] as Metrics[] })),
        Promise.all(list.items.map(async (node) => (isReady(node) ? nodeHardware(client, node.metadata.name, io.interrupted) : {}))),
      ]);
      const now = Date.now();
      const seenOf = (name: string): string | undefined => leases.items.find((lease) => lease.metadata.name === name)?.spec?.renewTime;
      const usageOf = (name: string): Metrics['usage'] | undefined => metrics.items.find((item) => item.metadata.name === name)?.usage;
      const podsOf = (name: string): number => pods.items.filter((pod) => pod.spec?.nodeName === name && !['Succeeded', 'Failed'].includes(pod.status?.phase ?? '')).length;
      if (output === 'json') {
        const items = list.items.map((node, i) => ({ ...node, fleet: { state: stateOf(node), usage: usageOf(node.metadata.name), pods: podsOf(node.metadata.name), lastSeen: seenOf(node.metadata.name), hardware: bodies[i] } }));
        io.out(`${JSON.stringify({ ...list, items }, null, 4)}\n`);
        return 0;
      }
      const rows = list.items.map((node, i) => {
        const { name } = node.metadata;
        const [seen, usage, body] = [seenOf(name), usageOf(name), bodies[i] ?? {}];
        return [
          name, stateOf(node), node.status?.addresses?.find(({ type }) => type === 'InternalIP')?.address ?? '<none>', node.status?.nodeInfo?.architecture ?? '<unknown>',
          usage === undefined ? '<unknown>' : cores(usage.cpu), usage === undefined ? '<unknown>' : mebi(usage.memory), temperatureText(body), wearText(body), String(podsOf(name)), node.status?.nodeInfo?.containerRuntimeVersion ?? '<unknown>', node.status?.nodeInfo?.kubeletVersion ?? '<unknown>',
          seen === undefined ? '<never>' : `${humanAge(now - Date.parse(seen))} ago`,
        ];
      });
      if (rows.length === 0 && parsed.has('selector')) io.err('No resources found\n');
      else if (rows.length === 0) io.err('No nodes yet. Add one: cleat token create prints the line to run on it.\n');
      else io.out(columns([...(parsed.bool('no-headers') ? [] : [['NAME', 'STATUS', 'ADDRESS', 'ARCH', 'CPU', 'MEMORY', 'TEMP', 'WEAR', 'PODS', 'RUNTIME', 'VERSION', 'LAST SEEN']]), ...rows]));
    } finally {
      client.close();
    }
    return 0;
  },
};

function isReady(node: Node): boolean {
  return node.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
}

function stateOf(node: Node): string {
  const ready = node.status?.conditions?.find(({ type }) => type === 'Ready')?.status;
  const state = ready === 'True' ? 'Ready' : ready === 'Unknown' || ready === undefined ? 'Unreachable' : 'NotReady';
  return [state, ...(node.metadata.annotations?.[fenceAnnotation] ? ['Fenced'] : []), ...(node.spec?.unschedulable === true ? ['SchedulingDisabled'] : [])].join();
}
