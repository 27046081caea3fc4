import type { Lease, Node, Pod } from '#api/gen/types.ts';
import { parseQuantity } from '#api/meta/quantity.ts';
import { messageOf } from '#common/errors.ts';
import { podAmount, sum, type Amount, type Kind } from '../pod-resources.ts';
import { humanAge } from '../printing/age.ts';
import { byKey, describeLabels, rfc1123 } from './metadata.ts';
import type { Describe, DescribeContext } from './types.ts';
import type { DescribeWriter } from './writer.ts';

const rolePrefix = 'node-role.kubernetes.io/';

export const describeNode: Describe<Node> = async (writer, node, context) => {
  const { metadata, spec, status } = node;
  const roles = Object.keys(metadata?.labels ?? {}).filter((key) => key.startsWith(rolePrefix)).map((key) => key.slice(rolePrefix.length)).sort();
  writer.row(0, 'Name:', metadata?.name ?? '').row(0, 'Roles:', roles.join(',') || '<none>');
  describeLabels(writer, metadata);
  writer.row(0, 'CreationTimestamp:', rfc1123(metadata?.creationTimestamp));
  writer.list('Taints', (spec?.taints ?? []).toSorted((a, b) => (`${a.effect},${a.key}` < `${b.effect},${b.key}` ? -1 : 1)).map(({ key, value, effect }) => `${key}${value ? `=${value}` : ''}:${effect}`));
  writer.row(0, 'Unschedulable:', spec?.unschedulable ?? false);
  await describeLease(writer, metadata?.name ?? '', context);
  if (status?.conditions?.length) {
    writer.row(0, 'Conditions:').row(1, 'Type', 'Status', 'LastHeartbeatTime', 'LastTransitionTime', 'Reason', 'Message').row(1, '----', '------', '-----------------', '------------------', '------', '-------');
    for (const c of status.conditions) writer.row(1, `${c.type} `, `${c.status} `, `${rfc1123(c.lastHeartbeatTime)} `, `${rfc1123(c.lastTransitionTime)} `, `${c.reason ?? ''} `, c.message ?? '');
  }
  writer.row(0, 'Addresses:');
  for (const { type, address } of status?.addresses ?? []) writer.row(1, `${type}:`, address);
  for (const [title, quantities] of [['Capacity', status?.capacity], ['Allocatable', status?.allocatable]] as const) {
    writer.row(0, `${title}:`);
    for (const [name, value] of Object.entries(quantities ?? {}).sort(byKey)) writer.row(1, `${name}:`, value);
  }
  const info = status?.nodeInfo;
  writer.row(0, 'System Info:').row(1, 'Machine ID:', info?.machineID ?? '').row(1, 'System UUID:', info?.systemUUID ?? '').row(1, 'Boot ID:', info?.bootID ?? '')
    .row(1, 'Kernel Version:', info?.kernelVersion ?? '').row(1, 'OS Image:', info?.osImage ?? '').row(1, 'Operating System:', info?.operatingSystem ?? '')
    .row(1, 'Architecture:', info?.architecture ?? '').row(1, 'Container Runtime Version:', info?.containerRuntimeVersion ?? '')
    .row(1, 'Kubelet Version:', info?.kubeletVersion ?? '').row(1, 'Kube-Proxy Version:', info?.kubeProxyVersion ?? '');
  if (spec?.podCIDR) writer.row(0, 'PodCIDR:', spec.podCIDR);
  if (spec?.podCIDRs?.length) writer.row(0, 'PodCIDRs:', spec.podCIDRs.join(','));
  await describePods(writer, node, context);
};

async function describeLease(writer: DescribeWriter, name: string, { client }: DescribeContext): Promise<void> {
  try {
    const { spec } = await client.json<Lease>('GET', `/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/${name}`);
    writer.row(0, 'Lease:').row(1, 'HolderIdentity:', spec?.holderIdentity ?? '<unset>').row(1, 'AcquireTime:', rfc1123(spec?.acquireTime)).row(1, 'RenewTime:', rfc1123(spec?.renewTime));
  } catch (error) {
    writer.row(0, 'Lease:', `Failed to get lease: ${messageOf(error)}`);
  }
}


/** The pods on the node with what they ask for, and the sum. */
async function describePods(writer: DescribeWriter, node: Node, { client, nowMs }: DescribeContext): Promise<void> {
  const selector = `spec.nodeName=${node.metadata?.name ?? ''},status.phase!=Succeeded,status.phase!=Failed`;
  const { items } = await client.json<{ items: Pod[] }>('GET', `/api/v1/pods?fieldSelector=${encodeURIComponent(selector)}`);
  const allocatable = node.status?.allocatable ?? {};
  const share = (amount: Amount, resource: string): string => `${amount.text} (${percent(amount.nanos, allocatable[resource])}%)`;
  writer.row(0, 'Non-terminated Pods:', `(${String(items.length)} in total)`);
  writer.row(1, 'Namespace', 'Name', '', 'CPU Requests', 'CPU Limits', 'Memory Requests', 'Memory Limits', 'Age').row(1, '---------', '----', '', '------------', '----------', '---------------', '-------------', '---');
  for (const pod of items) {
    const amounts = (['cpu', 'memory'] as const).flatMap((resource) => (['requests', 'limits'] as const).map((kind) => share(podAmount(pod, kind, resource), resource)));
    writer.row(1, pod.metadata?.namespace ?? '', pod.metadata?.name ?? '', '', ...amounts, humanAge(nowMs - Date.parse(pod.metadata?.creationTimestamp ?? '')));
  }
  writer.row(0, 'Allocated resources:').row(1, '(Total limits may be over 100 percent, i.e., overcommitted.)').row(1, 'Resource', 'Requests', 'Limits').row(1, '--------', '--------', '------');
  const names = Object.keys(allocatable).sort();
  for (const resource of ['cpu', 'memory', 'ephemeral-storage', ...names.filter((name) => name.startsWith('hugepages-'))]) {
    const total = (kind: Kind): string => share(sum(items.map((pod) => podAmount(pod, kind, resource))), resource);
    writer.row(1, resource, total('requests'), total('limits'));
  }
  for (const resource of names.filter((name) => name.includes('/'))) {
    const total = (kind: Kind): string => sum(items.map((pod) => podAmount(pod, kind, resource))).text;
    writer.row(1, resource, total('requests'), total('limits'));
  }
}

function percent(nanos: bigint, allocatable: string | undefined): string {
  const capacity = parseQuantity(allocatable ?? '0');
  return capacity === 0n ? '0' : String((nanos * 100n) / capacity);
}
