import type { Node } from '#api/gen/types.ts';
import { isRecord } from '#api/meta/json.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import { counter, gauge, Metrics, type Family, type Labels, type Sample } from '#common/metrics.ts';
import type { ContainerUsage, NodeGateway, NodeUsage, PodUsage } from '../../types.ts';
import { containerFamilies } from './container-metrics.ts';
import { sumOf } from './node-usage.ts';

/**
 * What Prometheus asks of a node's kubelet, in its text form: `/metrics/resource`, `/metrics/cadvisor`, `/metrics/probes` and `/metrics`.
 * Names and labels are kubelet's and cAdvisor's; what an agent does not measure is not there.
 * Sources: https://kubernetes.io/docs/reference/instrumentation/node-metrics/, https://kubernetes.io/docs/reference/instrumentation/metrics/
 */
export async function nodeMetrics(path: string, node: Node, nodes: NodeGateway, signal: AbortSignal): Promise<string> {
  const families = await familiesOf(path, node, nodes, signal);
  const metrics = new Metrics();
  metrics.add(() => families);
  return metrics.text();
}

async function familiesOf(path: string, node: Node, nodes: NodeGateway, signal: AbortSignal): Promise<readonly Family[]> {
  const name = node.metadata?.name ?? '';
  const told = async (about: 'metrics' | 'probes'): Promise<Family[]> => parseFamilies(await nodes.kubelet?.(name, about, signal), name);
  switch (path) {
    case '/metrics/resource': return resourceFamilies(await nodes.usage(name, signal));
    case '/metrics/cadvisor': return containerFamilies(node, await nodes.usage(name, signal, { cgroups: true }));
    case '/metrics/probes': return told('probes');
    default: {
      // Of an older agent there is what the control plane can tell.
      const [usage, own] = await Promise.all([nodes.usage(name, signal, { volumes: true }), told('metrics').catch((error: unknown): Family[] => {
        if (isStatus(error, 'MethodNotAllowed')) return [];
        throw error;
      })]);
      return [...kubeletFamilies(node, usage), ...own];
    }
  }
}

/** What comes from a host is looked at before it is printed: a name is no place for what is not one. */
function parseFamilies(told: unknown, nodeName: string): Family[] {
  const found = isRecord(told) && Array.isArray(told['families']) ? told['families'] as unknown[] : told === undefined ? [] : [undefined];
  if (!found.every(isFamily)) throw new StatusError('InternalError', `node ${nodeName} sent metrics that cannot be read`);
  return found;
}

function isFamily(value: unknown): value is Family {
  return isRecord(value) && isName(value['name']) && ['counter', 'gauge', 'histogram', 'summary'].includes(String(value['type'])) && typeof value['help'] === 'string' && Array.isArray(value['samples']) && value['samples'].every(isSample);
}

function isSample(value: unknown): boolean {
  if (!isRecord(value) || typeof value['value'] !== 'number') return false;
  const { suffix = '', labels = {} } = value;
  return typeof suffix === 'string' && /^\w*$/.test(suffix) && isRecord(labels) && Object.entries(labels).every(([name, label]) => isName(name) && ['string', 'number'].includes(typeof label));
}

function isName(value: unknown): boolean {
  return typeof value === 'string' && /^[a-zA-Z_]\w*$/.test(value);
}

function resourceFamilies({ node, pods }: NodeUsage): Family[] {
  const used = pods.map((pod) => ({ labels: { namespace: pod.namespace, pod: pod.name }, usage: sumOf(pod.containers) }));
  return [
    counter('container_cpu_usage_seconds_total', 'Cumulative cpu time consumed by the container in core-seconds', perContainer(pods, ({ cpuSeconds }) => cpuSeconds)),
    gauge('container_memory_working_set_bytes', 'Current working set of the container in bytes', perContainer(pods, ({ memoryBytes }) => memoryBytes)),
    gauge('container_start_time_seconds', 'Start time of the container since unix epoch in seconds', perContainer(pods, startSeconds)),
    counter('node_cpu_usage_seconds_total', 'Cumulative cpu time consumed by the node in core-seconds', given({}, node.cpuSeconds)),
    gauge('node_memory_working_set_bytes', 'Current working set of the node in bytes', given({}, node.memoryBytes)),
    counter('pod_cpu_usage_seconds_total', 'Cumulative cpu time consumed by the pod in core-seconds', used.flatMap(({ labels, usage }) => given(labels, usage.cpuSeconds))),
    gauge('pod_memory_working_set_bytes', 'Current working set of the pod in bytes', used.flatMap(({ labels, usage }) => given(labels, usage.memoryBytes))),
    gauge('resource_scrape_error', '1 if there was an error while getting container metrics, 0 otherwise', given({}, 0)),
  ];
}

function kubeletFamilies({ metadata, status }: Node, { pods, node }: NodeUsage): Family[] {
  const hardware = node.hardware ?? {};
  const { kubeletVersion = '', operatingSystem = '', architecture = '' } = status?.nodeInfo ?? {};
  const running = pods.reduce((total, { containers }) => total + containers.length, 0);
  return [
    gauge('kubernetes_build_info', "A metric with a constant '1' value labeled by version and platform of what runs on the node.", given({
      major: /^v(\d+)/.exec(kubeletVersion)?.[1] ?? '', minor: /^v\d+\.(\d+)/.exec(kubeletVersion)?.[1] ?? '', git_version: kubeletVersion, platform: `${operatingSystem}/${architecture}`,
    }, kubeletVersion === '' ? undefined : 1)),
    gauge('kubelet_node_name', "The node's name. The count is always 1.", given({ node: metadata?.name ?? '' }, 1)),
    gauge('kubelet_running_containers', 'Number of containers currently running', given({ container_state: 'running' }, running)),
    gauge('kubelet_running_pods', 'Number of pods that have a running pod sandbox', given({}, pods.length)),
    ...volumeFamilies(pods),
    // Not kubelet's: hosts that tell have them, and `cleat nodes` shows them.
    gauge('cleat_node_temperature_celsius', 'The hottest sensor of the processor', given({}, hardware.celsius)),
    gauge('cleat_node_throttled', "A Raspberry Pi's own word on what slows it down, as vcgencmd get_throttled has it", given({}, hardware.throttled)),
    gauge('cleat_node_disk_worn_ratio', 'How much of the most worn disk\'s life is used', hardware.disk ? given({ device: hardware.disk.device }, hardware.disk.wornPercent / 100) : []),
  ];
}

const volumeGauges = [
  ['available_bytes', 'Number of available bytes in the volume', 'availableBytes'], ['capacity_bytes', 'Capacity in bytes of the volume', 'capacityBytes'], ['used_bytes', 'Number of used bytes in the volume', 'usedBytes'],
  ['inodes', 'Maximum number of inodes in the volume', 'inodes'], ['inodes_free', 'Number of free inodes in the volume', 'inodesFree'], ['inodes_used', 'Number of used inodes in the volume', 'inodesUsed'],
] as const;

/** Of volumes that belong to claims; each claim once, however many pods of the node use it. */
function volumeFamilies(pods: readonly PodUsage[]): Family[] {
  const claimed = new Map(pods.flatMap(({ namespace, volumes = [] }) => volumes.flatMap((volume) => (volume.claim === undefined ? [] : [[`${namespace}/${volume.claim}`, { labels: { namespace, persistentvolumeclaim: volume.claim }, volume }] as const]))));
  const all = [...claimed.values()];
  return [
    ...volumeGauges.map(([name, help, field]) => gauge(`kubelet_volume_stats_${name}`, help, all.flatMap(({ labels, volume }) => given(labels, volume[field])))),
    gauge('kubelet_volume_stats_health_status_abnormal', 'Abnormal volume health status. The count is either 1 or 0. 1 indicates the volume is unhealthy, 0 indicates volume is healthy', all.flatMap(({ labels, volume }) => given(labels, volume.abnormal === undefined ? undefined : Number(volume.abnormal)))),
  ];
}

function perContainer(pods: readonly PodUsage[], value: (container: ContainerUsage) => number | undefined): Sample[] {
  return pods.flatMap(({ namespace, name: pod, containers }) => containers.flatMap((container) => given({ container: container.name, namespace, pod }, value(container))));
}

function startSeconds({ startedAtMs }: ContainerUsage): number | undefined {
  return startedAtMs === undefined ? undefined : startedAtMs / 1000;
}

/** None where the value is not known. */
function given(labels: Labels, value: number | undefined): Sample[] {
  return value === undefined ? [] : [{ labels, value }];
}
