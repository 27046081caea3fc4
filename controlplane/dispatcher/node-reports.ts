import type { Lease, Node, NodeCondition, NodeStatus } from '#api/gen/types.ts';
import { leases, nodes } from '#api/kinds/resources.ts';
import { setCondition } from '#api/meta/conditions.ts';
import { equal } from '#api/meta/equal.ts';
import { pulledPlatformsAnnotation } from '#api/images/platforms.ts';
import { ingressAnnotation } from '#api/ingress/ingress.ts';
import { networkAnnotation, seenAtAnnotation } from '#api/network/annotations.ts';
import { publicKeyAnnotation, runtimeAnnotation } from '#api/node/identity.ts';
import { rfc3339 } from '#common/time.ts';
import { isUpgradedBy, upgradedByAnnotation } from '#common/upgraded-by.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import type { ApiClient } from '../apiserver/types.ts';
import { certificateAnnotations, certificateExpiresAnnotation } from './enrolment.ts';
import type { DriverReport } from './driver-reports.ts';
import type { NodeIdentity } from './peer.ts';

export interface NodeReport {
  readonly labels: Readonly<Record<string, string>>;
  readonly status: NodeStatus;
  readonly annotations?: Readonly<Record<string, unknown>>;
  /** Its CSI drivers; absent where there never were any. */
  readonly csi?: DriverReport;
}

const attempts = 4;
/** Every node is sent what every other one says. */
const maxNetworkText = 4096;
const maxImageText = 16 << 10;
const maxRuntimeText = 512;

/** Makes the Node on its first report, then writes labels and status when they say something new. */
export async function storeNodeReport(api: ApiClient, identity: NodeIdentity, report: NodeReport, nowMs: number): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      const node = await withLabels(api, identity, report);
      const status = mergeNodeStatus(node.status ?? {}, report.status, nowMs);
      if (!equal(withoutHeartbeats(node.status ?? {}), withoutHeartbeats(status))) await api.update(nodes, { ...node, status }, 'status');
      if (report.csi) await (await import('./driver-reports.ts')).storeDriverReport(api, node, report.csi);
      return;
    } catch (error) {
      if (!isStatus(error, 'Conflict', 'AlreadyExists') || attempt === attempts) throw error;
    }
  }
}

async function withLabels(api: ApiClient, identity: NodeIdentity, report: NodeReport): Promise<Node> {
  const labels = allowedLabels(identity.name, report.labels);
  const annotations = { [publicKeyAnnotation]: identity.publicKeySha256, ...networkAnnotations(identity, report), ...imageAnnotations(report), ...ingressAnnotations(report), ...upgradeAnnotations(report), ...runtimeAnnotations(report) };
  let node: Node;
  try {
    node = await api.get(nodes, undefined, identity.name);
  } catch (error) {
    if (!isStatus(error, 'NotFound')) throw error;
    return api.create(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: identity.name, labels, annotations: { ...annotations, ...newerCertificate(undefined, identity) } }, spec: {} });
  }
  const owner = node.metadata?.annotations?.[publicKeyAnnotation];
  if (owner !== undefined && owner !== identity.publicKeySha256) throw new StatusError('Forbidden', `node ${identity.name} belongs to another host now`);
  const has = (held: Readonly<Record<string, string>> | undefined, wanted: Readonly<Record<string, string>>): boolean => Object.entries(wanted).every(([key, value]) => held?.[key] === value);
  const all = { ...annotations, ...newerCertificate(node, identity) };
  if (has(node.metadata?.labels, labels) && has(node.metadata?.annotations, all)) return node;
  return api.patch(nodes, undefined, identity.name, 'merge', { metadata: { labels, annotations: all } });
}

/** What a node may tell the others of its network, and where it is seen. */
function networkAnnotations({ seenAt }: NodeIdentity, { annotations }: NodeReport): Record<string, string> {
  const told = annotations?.[networkAnnotation];
  return { ...(typeof told === 'string' && told.length <= maxNetworkText && { [networkAnnotation]: told }), ...(seenAt !== undefined && { [seenAtAnnotation]: seenAt }) };
}

/** What it tells of the images that it has pulled. */
function imageAnnotations({ annotations }: NodeReport): Record<string, string> {
  const told = annotations?.[pulledPlatformsAnnotation];
  return typeof told === 'string' && told.length <= maxImageText ? { [pulledPlatformsAnnotation]: told } : {};
}

/** Whether it serves Ingresses. */
function ingressAnnotations({ annotations }: NodeReport): Record<string, string> {
  const told = annotations?.[ingressAnnotation];
  return told === 'off' || told === 'on' || told === 'ready' ? { [ingressAnnotation]: told } : {};
}

/** Who brings another version to its host. */
function upgradeAnnotations({ annotations }: NodeReport): Record<string, string> {
  const told = annotations?.[upgradedByAnnotation];
  return isUpgradedBy(told) ? { [upgradedByAnnotation]: told } : {};
}

/** What runs its pods. */
function runtimeAnnotations({ annotations }: NodeReport): Record<string, string> {
  const told = annotations?.[runtimeAnnotation];
  return typeof told === 'string' && told.length <= maxRuntimeText ? { [runtimeAnnotation]: told } : {};
}

/** A session does not know of a renewal in its course: what is noted of a later certificate stays. */
function newerCertificate(node: Node | undefined, { certificate }: NodeIdentity): Record<string, string> {
  const noted = Date.parse(node?.metadata?.annotations?.[certificateExpiresAnnotation] ?? '') || 0;
  return certificate && certificate.notAfterMs > noted + 1000 ? certificateAnnotations(certificate) : {};
}

/** What the NodeRestriction admission of Kubernetes lets a node say about itself. */
const ownLabels = new Set([
  'kubernetes.io/os', 'kubernetes.io/arch', 'kubernetes.io/hostname', 'beta.kubernetes.io/os', 'beta.kubernetes.io/arch', 'node.kubernetes.io/instance-type',
  'topology.kubernetes.io/region', 'topology.kubernetes.io/zone',
]);

function allowedLabels(nodeName: string, labels: Readonly<Record<string, string>>): Record<string, string> {
  const allowed = (key: string): boolean => {
    const prefix = key.includes('/') ? key.slice(0, key.indexOf('/')) : '';
    const reserved = /(^|\.)(kubernetes|k8s)\.io$/.test(prefix);
    return !reserved || ownLabels.has(key) || /(^|\.)(node|kubelet)\.kubernetes\.io$/.test(prefix);
  };
  return { 'kubernetes.io/hostname': nodeName, ...Object.fromEntries(Object.entries(labels).filter(([key, value]) => allowed(key) && typeof value === 'string')) };
}

/**
 * The node's word replaces the status; conditions that it does not name stay, and those that say the same keep their time.
 * Capacity of extended resources that an operator wrote stays too, and all of it can be allocated.
 */
export function mergeNodeStatus(old: NodeStatus, reported: NodeStatus, nowMs: number): NodeStatus {
  let conditions: readonly NodeCondition[] = old.conditions ?? [];
  for (const condition of reported.conditions ?? []) conditions = setCondition(conditions, condition, rfc3339(nowMs));
  const added = extendedResources(old.capacity, reported);
  return {
    ...reported,
    ...(Object.keys(added).length > 0 && { capacity: { ...reported.capacity, ...added }, allocatable: { ...reported.allocatable, ...added } }),
    ...(conditions.length > 0 && { conditions: [...conditions] }),
  };
}

/** Those that the node itself says nothing of. */
function extendedResources(list: NodeStatus['capacity'], reported: NodeStatus): Record<string, string> {
  const isExtended = (name: string): boolean => name.includes('/') && !/(^|\.)kubernetes\.io\//.test(name);
  return Object.fromEntries(Object.entries(list ?? {}).filter(([name]) => isExtended(name) && reported.capacity?.[name] === undefined));
}

function withoutHeartbeats(status: NodeStatus): NodeStatus {
  return { ...status, conditions: status.conditions?.map(({ lastHeartbeatTime: _time, ...condition }) => condition) };
}

/** True when somebody wrote a condition that the node itself says otherwise, as the node lifecycle does for a lost node, or extended resources that cannot be allocated yet. */
export function contradicts(node: Node, report: NodeReport): boolean {
  const { capacity, allocatable } = node.status ?? {};
  if (!equal(extendedResources(capacity, report.status), extendedResources(allocatable, report.status))) return true;
  return report.status.conditions?.some((reported) => node.status?.conditions?.find((stored) => stored.type === reported.type)?.status !== reported.status) ?? false;
}

/** Renews the Lease by which a node is known to live. Leases are kept in memory only. */
export async function renewLease(api: ApiClient, nodeName: string, nowMs: number): Promise<void> {
  const lease: Lease = {
    apiVersion: 'coordination.k8s.io/v1', kind: 'Lease',
    metadata: { namespace: 'kube-node-lease', name: nodeName },
    spec: { holderIdentity: nodeName, leaseDurationSeconds: 40, renewTime: `${new Date(nowMs).toISOString().slice(0, -1)}000Z` },
  };
  try {
    await api.update(leases, lease);
  } catch (error) {
    if (!isStatus(error, 'NotFound')) throw error;
    await api.create(leases, lease);
  }
}
