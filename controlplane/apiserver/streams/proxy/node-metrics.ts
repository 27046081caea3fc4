import type { Node } from '#api/gen/types.ts';
import { quantityValue } from '#api/meta/quantity.ts';
import { Metrics, type Family, type Labels, type Sample } from '#common/metrics.ts';
import type { ContainerUsage, NodeUsage, PodUsage } from '../../types.ts';
import { sumOf } from './node-usage.ts';

/**
 * What Prometheus asks of a node's kubelet, in its text form: `/metrics/resource`, `/metrics/cadvisor` and `/metrics`.
 * Names and labels are kubelet's and cAdvisor's; what an agent does not measure is not there.
 * Sources: https://kubernetes.io/docs/reference/instrumentation/node-metrics/, https://kubernetes.io/docs/reference/instrumentation/metrics/
 */
export function nodeMetrics(path: string, node: Node, usage: NodeUsage): string {
  const metrics = new Metrics();
  metrics.add(() => (path === '/metrics/resource' ? resourceFamilies(usage) : path === '/metrics/cadvisor' ? containerFamilies(node, usage) : kubeletFamilies(node, usage)));
  return metrics.text();
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

function containerFamilies({ status }: Node, { atMs, pods }: NodeUsage): Family[] {
  const labels = (pod: PodUsage, { name, id = '', image = '' }: ContainerUsage): Labels => ({ container: name, image, name: id, namespace: pod.namespace, pod: pod.name });
  const traffic = (name: string, help: string, value: (network: NonNullable<PodUsage['network']>) => number): Family => counter(name, help, pods.flatMap(({ namespace, name: pod, network }) => (
    network ? given({ interface: 'eth0', namespace, pod }, value(network)) : [])));
  const { cpu = '0', memory = '0' } = status?.capacity ?? {};
  return [
    counter('container_cpu_usage_seconds_total', 'Cumulative cpu time consumed in seconds.', perContainer(pods, ({ cpuSeconds }) => cpuSeconds, (...of) => ({ ...labels(...of), cpu: 'total' }))),
    ...cpuFamilies(pods, labels),
    gauge('container_fs_usage_bytes', 'Number of bytes that are consumed by the container on this filesystem.', perContainer(pods, ({ writableBytes }) => writableBytes, labels)),
    gauge('container_last_seen', 'Last time a container was seen by the exporter', perContainer(pods, () => atMs / 1000, labels)),
    ...memoryFamilies(pods, labels),
    gauge('container_memory_working_set_bytes', 'Current working set in bytes.', perContainer(pods, ({ memoryBytes }) => memoryBytes, labels)),
    traffic('container_network_receive_bytes_total', 'Cumulative count of bytes received', ({ receivedBytes }) => receivedBytes),
    traffic('container_network_receive_errors_total', 'Cumulative count of errors encountered while receiving', ({ receiveErrors }) => receiveErrors),
    traffic('container_network_receive_packets_total', 'Cumulative count of packets received', ({ receivedPackets }) => receivedPackets),
    traffic('container_network_transmit_bytes_total', 'Cumulative count of bytes transmitted', ({ sentBytes }) => sentBytes),
    traffic('container_network_transmit_errors_total', 'Cumulative count of errors encountered while transmitting', ({ sendErrors }) => sendErrors),
    traffic('container_network_transmit_packets_total', 'Cumulative count of packets transmitted', ({ sentPackets }) => sentPackets),
    gauge('container_processes', 'Number of processes and threads of the container.', perContainer(pods, ({ details }) => details?.processes, labels)),
    gauge('container_start_time_seconds', 'Start time of the container since unix epoch in seconds.', perContainer(pods, startSeconds, labels)),
    gauge('machine_cpu_cores', 'Number of logical CPU cores.', given({}, quantityValue(cpu))),
    gauge('machine_memory_bytes', 'Amount of memory installed on the machine.', given({}, quantityValue(memory))),
  ];
}

type LabelsOf = (pod: PodUsage, container: ContainerUsage) => Labels;

function cpuFamilies(pods: readonly PodUsage[], labels: LabelsOf): Family[] {
  return [
    counter('container_cpu_user_seconds_total', 'Cumulative user cpu time consumed in seconds.', perContainer(pods, ({ details }) => details?.cpu?.userSeconds, labels)),
    counter('container_cpu_system_seconds_total', 'Cumulative system cpu time consumed in seconds.', perContainer(pods, ({ details }) => details?.cpu?.systemSeconds, labels)),
    counter('container_cpu_cfs_periods_total', 'Number of elapsed enforcement period intervals.', perContainer(pods, ({ details }) => details?.quota?.periods, labels)),
    counter('container_cpu_cfs_throttled_periods_total', 'Number of throttled period intervals.', perContainer(pods, ({ details }) => details?.quota?.throttledPeriods, labels)),
    counter('container_cpu_cfs_throttled_seconds_total', 'Total time duration the container has been throttled.', perContainer(pods, ({ details }) => details?.quota?.throttledSeconds, labels)),
    gauge('container_spec_cpu_quota', 'CPU quota of the container.', perContainer(pods, ({ details }) => details?.quota?.quotaMicros, labels)),
    gauge('container_spec_cpu_period', 'CPU period of the container.', perContainer(pods, ({ details }) => details?.quota?.periodMicros, labels)),
  ];
}

const memoryGauges = [
  ['container_memory_usage_bytes', 'Current memory usage in bytes, including all memory regardless of when it was accessed', 'usageBytes'], ['container_memory_rss', 'Size of RSS in bytes.', 'rssBytes'],
  ['container_memory_cache', 'Number of bytes of page cache memory.', 'cacheBytes'], ['container_memory_mapped_file', 'Size of memory mapped files in bytes.', 'mappedBytes'], ['container_memory_swap', 'Container swap usage in bytes.', 'swapBytes'],
] as const;

function memoryFamilies(pods: readonly PodUsage[], labels: LabelsOf): Family[] {
  const failures = (type: string, value: (container: ContainerUsage) => number | undefined): Sample[] => perContainer(pods, value, (...of) => ({ ...labels(...of), failure_type: type, scope: 'container' }));
  return [
    ...memoryGauges.map(([name, help, field]) => gauge(name, help, perContainer(pods, ({ details }) => details?.memory?.[field], labels))),
    counter('container_memory_failures_total', 'Cumulative count of memory allocation failures.', [...failures('pgfault', ({ details }) => details?.memory?.pageFaults), ...failures('pgmajfault', ({ details }) => details?.memory?.majorPageFaults)]),
    counter('container_oom_events_total', 'Count of out of memory events observed for the container', perContainer(pods, ({ details }) => details?.memory?.oomKills, labels)),
    gauge('container_spec_memory_limit_bytes', 'Memory limit for the container.', perContainer(pods, ({ details }) => details?.memory && (details.memory.limitBytes ?? 0), labels)),
  ];
}

function kubeletFamilies({ metadata }: Node, { pods, node }: NodeUsage): Family[] {
  const hardware = node.hardware ?? {};
  const running = pods.reduce((total, { containers }) => total + containers.length, 0);
  return [
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

function perContainer(
  pods: readonly PodUsage[], value: (container: ContainerUsage) => number | undefined,
  labels: (pod: PodUsage, container: ContainerUsage) => Labels = (pod, { name }) => ({ container: name, namespace: pod.namespace, pod: pod.name }),
): Sample[] {
  return pods.flatMap((pod) => pod.containers.flatMap((container) => given(labels(pod, container), value(container))));
}

function startSeconds({ startedAtMs }: ContainerUsage): number | undefined {
  return startedAtMs === undefined ? undefined : startedAtMs / 1000;
}

/** None where the value is not known. */
function given(labels: Labels, value: number | undefined): Sample[] {
  return value === undefined ? [] : [{ labels, value }];
}

function counter(name: string, help: string, samples: readonly Sample[]): Family { return { name, type: 'counter', help, samples }; }
function gauge(name: string, help: string, samples: readonly Sample[]): Family { return { name, type: 'gauge', help, samples }; }
