import type { Node } from '#api/gen/types.ts';
import { quantityValue } from '#api/meta/quantity.ts';
import type { CgroupUsage, ContainerDetails, DiskTraffic, InterfaceUsage, NetworkCounters, PodNetworkUsage } from '#common/container-details.ts';
import { counter, gauge, type Family, type Labels, type Sample } from '#common/metrics.ts';
import type { ContainerUsage, NodeUsage, PodUsage } from '../../types.ts';

/** Of an older agent nobody knows what was dropped. */
type Interface = NetworkCounters & Partial<InterfaceUsage> & { readonly name: string };

/** Something that rows are about: a container, a pod, all pods, the host. With all labels of cAdvisor, which are empty where they say nothing. */
interface Subject {
  readonly labels: Labels;
  readonly cpuSeconds?: number | undefined;
  readonly memoryBytes?: number | undefined;
  readonly startedAtMs?: number | undefined;
  readonly writableBytes?: number | undefined;
  readonly details?: ContainerDetails | undefined;
  readonly interfaces?: readonly Interface[];
  /** Where the kernel has it otherwise. */
  readonly memoryLimitBytes?: number;
}

/** `/metrics/cadvisor`. Names, help and labels are cAdvisor's as kubelet serves it: https://github.com/google/cadvisor/blob/master/docs/storage/prometheus.md */
export function containerFamilies({ status }: Node, usage: NodeUsage): Family[] {
  const { cpu = '0', memory = '0' } = status?.capacity ?? {};
  const { bootID = '', machineID = '', systemUUID = '', kernelVersion = '', osImage = '' } = status?.nodeInfo ?? {};
  const memoryBytes = quantityValue(memory);
  const subjects = subjectsOf(usage, memoryBytes);
  const machine = { boot_id: bootID, machine_id: machineID, system_uuid: systemUUID };
  return [
    gauge('cadvisor_version_info', "A metric with a constant '1' value labeled by kernel version and OS version; there is no cAdvisor.", [{ labels: { kernelVersion, osVersion: osImage }, value: 1 }]),
    ...cpuFamilies(subjects),
    ...diskFamilies(subjects, usage),
    gauge('container_last_seen', 'Last time a container was seen by the exporter', rows(subjects, () => usage.atMs / 1000)),
    ...memoryFamilies(subjects),
    ...networkFamilies(subjects),
    gauge('container_processes', 'Number of processes and threads of the container.', rows(subjects, ({ details }) => details?.processes)),
    gauge('container_threads', 'Number of threads running inside the container', rows(subjects, ({ details }) => details?.processes)),
    gauge('container_threads_max', 'Maximum number of threads allowed inside the container, infinity if value is zero', rows(subjects, ({ details }) => details?.more?.processLimit)),
    ...limitFamilies(subjects),
    gauge('container_start_time_seconds', 'Start time of the container since unix epoch in seconds.', rows(subjects, ({ startedAtMs }) => startedAtMs === undefined ? undefined : startedAtMs / 1000)),
    gauge('container_scrape_error', '1 if there was an error while getting container metrics, 0 otherwise', [{ value: 0 }]),
    gauge('machine_cpu_cores', 'Number of logical CPU cores.', [{ labels: machine, value: quantityValue(cpu) }]),
    gauge('machine_memory_bytes', 'Amount of memory installed on the machine.', [{ labels: machine, value: memoryBytes }]),
  ];
}

function subjectsOf({ pods, host, allPods }: NodeUsage, memoryBytes: number): Subject[] {
  const of = (path: string, cgroup: CgroupUsage, pod?: PodUsage): Subject => ({ ...cgroup, labels: labelsOf({ id: path, namespace: pod?.namespace ?? '', pod: pod?.name ?? '' }) });
  return [
    ...pods.flatMap((pod) => pod.containers.map((container): Subject => ({ ...container, labels: containerLabels(pod, container) }))),
    ...pods.flatMap((pod): Subject[] => {
      const { namespace, name, cgroup, network } = pod;
      // Of an agent that knows no cgroups there is still the traffic.
      const subject = cgroup ? of(cgroup.path, cgroup, pod) : { labels: labelsOf({ namespace, pod: name }) };
      return cgroup || network ? [{ ...subject, ...(network && { interfaces: interfacesOf(network) }) }] : [];
    }),
    ...allPods ? [of(allPods.path, allPods)] : [],
    ...host ? [{ ...of('/', host), interfaces: host.interfaces, memoryLimitBytes: memoryBytes }] : [],
  ];
}

/** What an older agent tells of a pod's interface it tells of all of them, which is one: eth0. */
function interfacesOf({ interfaces, ...sum }: PodNetworkUsage): readonly Interface[] {
  return interfaces ?? [{ name: 'eth0', ...sum }];
}

function containerLabels({ namespace, name }: PodUsage, container: ContainerUsage): Labels {
  return labelsOf({ container: container.name, id: container.cgroup ?? '', image: container.image ?? '', name: container.id ?? '', namespace, pod: name });
}

function labelsOf(labels: Record<string, string>): Labels {
  return { container: '', id: '', image: '', name: '', namespace: '', pod: '', ...labels };
}

function cpuFamilies(subjects: readonly Subject[]): Family[] {
  return [
    counter('container_cpu_usage_seconds_total', 'Cumulative cpu time consumed in seconds.', rows(subjects, ({ cpuSeconds }) => cpuSeconds, { cpu: 'total' })),
    counter('container_cpu_user_seconds_total', 'Cumulative user cpu time consumed in seconds.', rows(subjects, ({ details }) => details?.cpu?.userSeconds)),
    counter('container_cpu_system_seconds_total', 'Cumulative system cpu time consumed in seconds.', rows(subjects, ({ details }) => details?.cpu?.systemSeconds)),
    counter('container_cpu_cfs_periods_total', 'Number of elapsed enforcement period intervals.', rows(subjects, ({ details }) => details?.quota?.periods)),
    counter('container_cpu_cfs_throttled_periods_total', 'Number of throttled period intervals.', rows(subjects, ({ details }) => details?.quota?.throttledPeriods)),
    counter('container_cpu_cfs_throttled_seconds_total', 'Total time duration the container has been throttled.', rows(subjects, ({ details }) => details?.quota?.throttledSeconds)),
  ];
}

function diskFamilies(subjects: readonly Subject[], { host }: NodeUsage): Family[] {
  const traffic = (name: string, help: string, value: (disk: DiskTraffic) => number): Family => counter(name, help, subjects.flatMap(({ labels, details }) => (
    (details?.more?.disks ?? []).map((disk) => ({ labels: { ...labels, device: disk.device }, value: value(disk) })))));
  const ofHost = (value: (one: NonNullable<NodeUsage['host']>['fileSystems'][number]) => number): Sample[] => (host?.fileSystems ?? []).map((one) => ({ labels: { ...labelsOf({ id: '/' }), device: one.device }, value: value(one) }));
  return [
    gauge('container_fs_inodes_free', 'Number of available Inodes', ofHost(({ inodesFree }) => inodesFree)),
    gauge('container_fs_inodes_total', 'Number of Inodes', ofHost(({ inodes }) => inodes)),
    gauge('container_fs_limit_bytes', 'Number of bytes that can be consumed by the container on this filesystem.', ofHost(({ capacityBytes }) => capacityBytes)),
    traffic('container_fs_reads_bytes_total', 'Cumulative count of bytes read', ({ readBytes }) => readBytes),
    traffic('container_fs_reads_total', 'Cumulative count of reads completed', ({ reads }) => reads),
    gauge('container_fs_usage_bytes', 'Number of bytes that are consumed by the container on this filesystem.', [...rows(subjects, ({ writableBytes }) => writableBytes, { device: '' }), ...ofHost(({ usedBytes }) => usedBytes)]),
    traffic('container_fs_writes_bytes_total', 'Cumulative count of bytes written', ({ writtenBytes }) => writtenBytes),
    traffic('container_fs_writes_total', 'Cumulative count of writes completed', ({ writes }) => writes),
  ];
}

const memoryGauges = [
  ['container_memory_usage_bytes', 'Current memory usage in bytes, including all memory regardless of when it was accessed', 'usageBytes'], ['container_memory_rss', 'Size of RSS in bytes.', 'rssBytes'],
  ['container_memory_cache', 'Number of bytes of page cache memory.', 'cacheBytes'], ['container_memory_mapped_file', 'Size of memory mapped files in bytes.', 'mappedBytes'], ['container_memory_swap', 'Container swap usage in bytes.', 'swapBytes'],
] as const;

function memoryFamilies(subjects: readonly Subject[]): Family[] {
  const failures = (type: string, value: (subject: Subject) => number | undefined): Sample[] => rows(subjects, value, { failure_type: type, scope: 'container' });
  return [
    ...memoryGauges.map(([name, help, field]) => gauge(name, help, rows(subjects, ({ details }) => details?.memory?.[field]))),
    counter('container_memory_failures_total', 'Cumulative count of memory allocation failures.', [...failures('pgfault', ({ details }) => details?.memory?.pageFaults), ...failures('pgmajfault', ({ details }) => details?.memory?.majorPageFaults)]),
    gauge('container_memory_working_set_bytes', 'Current working set in bytes.', rows(subjects, ({ memoryBytes }) => memoryBytes)),
    counter('container_oom_events_total', 'Count of out of memory events observed for the container', rows(subjects, ({ details }) => details?.memory?.oomKills)),
  ];
}

const networkCounters = [
  ['receive_bytes', 'bytes received', 'receivedBytes'], ['receive_errors', 'errors encountered while receiving', 'receiveErrors'], ['receive_packets_dropped', 'packets dropped while receiving', 'receiveDropped'], ['receive_packets', 'packets received', 'receivedPackets'],
  ['transmit_bytes', 'bytes transmitted', 'sentBytes'], ['transmit_errors', 'errors encountered while transmitting', 'sendErrors'], ['transmit_packets_dropped', 'packets dropped while transmitting', 'sendDropped'], ['transmit_packets', 'packets transmitted', 'sentPackets'],
] as const;

function networkFamilies(subjects: readonly Subject[]): Family[] {
  return networkCounters.map(([name, help, field]) => counter(`container_network_${name}_total`, `Cumulative count of ${help}`, subjects.flatMap(({ labels, interfaces = [] }) => (
    interfaces.flatMap((one) => given({ ...labels, interface: one.name }, one[field]))))));
}

function limitFamilies(subjects: readonly Subject[]): Family[] {
  return [
    gauge('container_spec_cpu_period', 'CPU period of the container.', rows(subjects, ({ details }) => details?.quota?.periodMicros)),
    gauge('container_spec_cpu_quota', 'CPU quota of the container.', rows(subjects, ({ details }) => details?.quota?.quotaMicros)),
    gauge('container_spec_cpu_shares', 'CPU share of the container.', rows(subjects, ({ details }) => details?.more?.cpuShares)),
    gauge('container_spec_memory_limit_bytes', 'Memory limit for the container.', rows(subjects, ({ details, memoryLimitBytes }) => details?.memory && (memoryLimitBytes ?? details.memory.limitBytes ?? 0))),
    gauge('container_spec_memory_reservation_limit_bytes', 'Memory reservation limit for the container.', rows(subjects, ({ details }) => details?.more?.memoryReservationBytes)),
    gauge('container_spec_memory_swap_limit_bytes', 'Memory swap limit for the container.', rows(subjects, ({ details }) => details?.more?.memorySwapLimitBytes)),
  ];
}

function rows(subjects: readonly Subject[], value: (subject: Subject) => number | undefined, more: Labels = {}): Sample[] {
  return subjects.flatMap((subject) => given({ ...subject.labels, ...more }, value(subject)));
}

/** None where the value is not known. */
function given(labels: Labels, value: number | undefined): Sample[] {
  return value === undefined ? [] : [{ labels, value }];
}
