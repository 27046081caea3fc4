import type { Container, ContainerState, Deployment, Endpoints, Namespace, Node, Pod, PodSpec, ReplicaSet, Service, Toleration, Volume } from '#api/gen/types.ts';
import { humanAge } from '../printing/age.ts';
import { DescribeWriter, pairs } from './writer.ts';

export interface Context {
  readonly nowMs: number;
  /** Objects that belong to the one described; fetched beforehand. */
  readonly pods: readonly Pod[];
  readonly replicaSets: readonly ReplicaSet[];
  readonly endpoints: Endpoints | undefined;
}

type Describer = (object: never, context: Context) => DescribeWriter;

const skippedAnnotations = new Set(['kubectl.kubernetes.io/last-applied-configuration']);

function start(object: { metadata?: { name?: string | undefined; namespace?: string | undefined; labels?: Record<string, string> | undefined; annotations?: Record<string, string> | undefined } | undefined }): DescribeWriter {
  const writer = new DescribeWriter().field('Name', object.metadata?.name);
  if (object.metadata?.namespace !== undefined) writer.field('Namespace', object.metadata.namespace);
  return writer;
}

function labels(writer: DescribeWriter, object: Parameters<typeof start>[0]): DescribeWriter {
  const annotations = Object.fromEntries(Object.entries(object.metadata?.annotations ?? {}).filter(([key]) => !skippedAnnotations.has(key)));
  return writer.field('Labels', pairs(object.metadata?.labels)).field('Annotations', pairs(annotations, ': '));
}

function describePod(pod: Pod, { nowMs }: Context): DescribeWriter {
  const { spec, status, metadata } = pod;
  const writer = start(pod).field('Priority', spec?.priority ?? 0).field('Service Account', spec?.serviceAccountName)
    .field('Node', spec?.nodeName === undefined ? undefined : `${spec.nodeName}/${status?.hostIP ?? ''}`).field('Start Time', status?.startTime);
  labels(writer, pod);
  if (metadata?.deletionTimestamp !== undefined) {
    writer.field('Status', `Terminating (lasts ${humanAge(nowMs - Date.parse(metadata.deletionTimestamp))})`).field('Termination Grace Period', `${String(metadata.deletionGracePeriodSeconds ?? 0)}s`);
  } else writer.field('Status', status?.phase);
  if (status?.reason !== undefined) writer.field('Reason', status.reason);
  if (status?.message !== undefined) writer.field('Message', status.message);
  writer.field('IP', status?.podIP).line('IPs:');
  for (const { ip } of status?.podIPs ?? []) writer.field('IP', ip, 1);
  const owner = metadata?.ownerReferences?.find(({ controller }) => controller === true);
  if (owner) writer.field('Controlled By', `${owner.kind}/${owner.name}`);
  if (spec?.initContainers?.length) containers(writer, 'Init Containers', spec.initContainers, pod);
  containers(writer, 'Containers', spec?.containers ?? [], pod);
  writer.line('Conditions:').table(['Type', 'Status'], (status?.conditions ?? []).map((c) => [c.type, c.status]));
  writer.line('Volumes:');
  for (const volume of spec?.volumes ?? []) describeVolume(writer, volume);
  return writer.field('QoS Class', status?.qosClass).field('Node-Selectors', pairs(spec?.nodeSelector)).field('Tolerations', tolerations(spec));
}

function containers(writer: DescribeWriter, title: string, list: readonly Container[], pod: Pod): void {
  writer.line(`${title}:`);
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  for (const container of list) {
    const status = statuses.find(({ name }) => name === container.name);
    writer.line(`${container.name}:`, 1).field('Container ID', status?.containerID, 2).field('Image', container.image, 2).field('Image ID', status?.imageID, 2)
      .field('Port', container.ports?.map((port) => `${String(port.containerPort)}/${port.protocol ?? 'TCP'}`).join(', '), 2);
    if (container.command) writer.field('Command', container.command, 2);
    if (container.args) writer.field('Args', container.args, 2);
    if (status) {
      state(writer, 'State', status.state);
      if (status.lastState && Object.keys(status.lastState).length > 0) state(writer, 'Last State', status.lastState);
      writer.field('Ready', status.ready ? 'True' : 'False', 2).field('Restart Count', status.restartCount, 2);
    }
    if (container.resources?.limits) writer.field('Limits', pairs(container.resources.limits, ': '), 2);
    if (container.resources?.requests) writer.field('Requests', pairs(container.resources.requests, ': '), 2);
    writer.field('Environment', container.env?.map((variable) => `${variable.name}: ${variable.value ?? '<set from another object>'}`), 2);
    writer.field('Mounts', container.volumeMounts?.map((mount) => `${mount.mountPath} from ${mount.name} (${mount.readOnly === true ? 'ro' : 'rw'})`), 2);
  }
}

function state(writer: DescribeWriter, title: string, value: ContainerState | undefined): void {
  if (value?.running) writer.field(title, 'Running', 2).field('Started', value.running.startedAt, 3);
  else if (value?.terminated) {
    const { reason, message, exitCode, startedAt, finishedAt } = value.terminated;
    writer.field(title, 'Terminated', 2).field('Reason', reason, 3);
    if (message !== undefined) writer.field('Message', message, 3);
    writer.field('Exit Code', exitCode, 3).field('Started', startedAt, 3).field('Finished', finishedAt, 3);
  } else {
    writer.field(title, 'Waiting', 2);
    if (value?.waiting?.reason !== undefined) writer.field('Reason', value.waiting.reason, 3);
    if (value?.waiting?.message !== undefined) writer.field('Message', value.waiting.message, 3);
  }
}

function describeVolume(writer: DescribeWriter, volume: Volume): void {
  const { name, ...sources } = volume;
  const [type = 'unknown', source = {}] = Object.entries(sources).find(([, value]) => value !== undefined) ?? [];
  writer.line(`${name}:`, 1).field('Type', type, 2);
  for (const [key, value] of Object.entries(source as object)) if (['string', 'number', 'boolean'].includes(typeof value)) writer.field(key, String(value), 2);
}

function tolerations(spec: PodSpec | undefined): string[] {
  const text = (t: Toleration): string => `${t.key ?? ''}${t.value === undefined ? '' : `=${t.value}`}${t.effect === undefined ? '' : `:${t.effect}`}${t.operator === 'Exists' ? ' op=Exists' : ''}${t.tolerationSeconds === undefined ? '' : ` for ${String(t.tolerationSeconds)}s`}`;
  const found = (spec?.tolerations ?? []).map(text);
  return found.length > 0 ? found : ['<none>'];
}

function describeNode(node: Node, { pods }: Context): DescribeWriter {
  const { spec, status } = node;
  const roles = Object.keys(node.metadata?.labels ?? {}).filter((key) => key.startsWith('node-role.kubernetes.io/')).map((key) => key.slice(24));
  const writer = new DescribeWriter().field('Name', node.metadata?.name).field('Roles', roles.join(','));
  labels(writer, node).field('CreationTimestamp', node.metadata?.creationTimestamp)
    .field('Taints', spec?.taints?.map((taint) => `${taint.key}${taint.value === undefined ? '' : `=${taint.value}`}:${taint.effect}`))
    .field('Unschedulable', String(spec?.unschedulable ?? false));
  writer.line('Conditions:').table(['Type', 'Status', 'LastTransitionTime', 'Reason', 'Message'], (status?.conditions ?? []).map((c) => [c.type, c.status, c.lastTransitionTime ?? '', c.reason ?? '', c.message ?? '']));
  writer.line('Addresses:');
  for (const { type, address } of status?.addresses ?? []) writer.field(type, address, 1);
  for (const title of ['capacity', 'allocatable'] as const) {
    writer.line(`${title[0]?.toUpperCase() ?? ''}${title.slice(1)}:`);
    for (const [name, value] of Object.entries(status?.[title] ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))) writer.field(name, value, 1);
  }
  writer.line('System Info:');
  for (const [name, value] of Object.entries(status?.nodeInfo ?? {})) if (typeof value === 'string') writer.field(name.replaceAll(/([A-Z]+)/g, ' $1').replace(/^./, (c) => c.toUpperCase()), value, 1);
  writer.field('PodCIDR', spec?.podCIDR).field('PodCIDRs', spec?.podCIDRs?.join(','));
  const own = pods.filter((pod) => pod.spec?.nodeName === node.metadata?.name && !['Succeeded', 'Failed'].includes(pod.status?.phase ?? ''));
  return writer.line(`Non-terminated Pods:  (${String(own.length)} in total)`).table(['Namespace', 'Name', 'Status'], own.map((pod) => [pod.metadata?.namespace ?? '', pod.metadata?.name ?? '', pod.status?.phase ?? '']));
}

function template(writer: DescribeWriter, spec: PodSpec | undefined, podLabels: Record<string, string> | undefined): DescribeWriter {
  writer.line('Pod Template:').field('Labels', pairs(podLabels), 1).line('Containers:', 1);
  for (const container of spec?.containers ?? []) {
    writer.line(`${container.name}:`, 2).field('Image', container.image, 3).field('Port', container.ports?.map((port) => `${String(port.containerPort)}/${port.protocol ?? 'TCP'}`).join(', '), 3);
  }
  return writer;
}

function describeDeployment(deployment: Deployment, { replicaSets }: Context): DescribeWriter {
  const { spec, status } = deployment;
  const writer = start(deployment).field('CreationTimestamp', deployment.metadata?.creationTimestamp);
  labels(writer, deployment).field('Selector', pairs(spec?.selector.matchLabels).join(','))
    .field('Replicas', `${String(spec?.replicas ?? 0)} desired | ${String(status?.updatedReplicas ?? 0)} updated | ${String(status?.replicas ?? 0)} total | ${String(status?.availableReplicas ?? 0)} available | ${String(status?.unavailableReplicas ?? 0)} unavailable`)
    .field('StrategyType', spec?.strategy?.type).field('MinReadySeconds', spec?.minReadySeconds ?? 0);
  const rolling = spec?.strategy?.rollingUpdate;
  if (rolling) writer.field('RollingUpdateStrategy', `${String(rolling.maxUnavailable)} max unavailable, ${String(rolling.maxSurge)} max surge`);
  template(writer, spec?.template.spec, spec?.template.metadata?.labels);
  writer.line('Conditions:').table(['Type', 'Status', 'Reason'], (status?.conditions ?? []).map((c) => [c.type, c.status, c.reason ?? '']));
  const own = replicaSets.filter((rs) => rs.metadata?.ownerReferences?.some(({ uid }) => uid === deployment.metadata?.uid));
  const text = (list: readonly ReplicaSet[]): string => list.map((rs) => `${rs.metadata?.name ?? ''} (${String(rs.status?.replicas ?? 0)}/${String(rs.spec?.replicas ?? 0)} replicas created)`).join(', ');
  const revision = deployment.metadata?.annotations?.['deployment.kubernetes.io/revision'];
  const isNew = (rs: ReplicaSet): boolean => rs.metadata?.annotations?.['deployment.kubernetes.io/revision'] === revision;
  return writer.field('OldReplicaSets', text(own.filter((rs) => !isNew(rs)))).field('NewReplicaSet', text(own.filter(isNew)));
}

function describeReplicaSet(rs: ReplicaSet, { pods }: Context): DescribeWriter {
  const writer = start(rs).field('Selector', pairs(rs.spec?.selector.matchLabels).join(','));
  const owner = rs.metadata?.ownerReferences?.find(({ controller }) => controller === true);
  labels(writer, rs);
  if (owner) writer.field('Controlled By', `${owner.kind}/${owner.name}`);
  const own = pods.filter((pod) => pod.metadata?.ownerReferences?.some(({ uid }) => uid === rs.metadata?.uid));
  const count = (phase: string): string => String(own.filter((pod) => pod.status?.phase === phase).length);
  writer.field('Replicas', `${String(rs.status?.replicas ?? 0)} current / ${String(rs.spec?.replicas ?? 0)} desired`)
    .field('Pods Status', `${count('Running')} Running / ${count('Pending')} Waiting / ${count('Succeeded')} Succeeded / ${count('Failed')} Failed`);
  return template(writer, rs.spec?.template?.spec, rs.spec?.template?.metadata?.labels);
}

function describeService(service: Service, { endpoints }: Context): DescribeWriter {
  const { spec } = service;
  const writer = labels(start(service), service).field('Selector', pairs(spec?.selector).join(',')).field('Type', spec?.type)
    .field('IP Family Policy', spec?.ipFamilyPolicy).field('IP Families', spec?.ipFamilies?.join(',')).field('IP', spec?.clusterIP).field('IPs', spec?.clusterIPs?.join(','));
  for (const port of spec?.ports ?? []) {
    const protocol = port.protocol ?? 'TCP';
    writer.field('Port', `${port.name ?? '<unset>'}  ${String(port.port)}/${protocol}`).field('TargetPort', `${String(port.targetPort ?? port.port)}/${protocol}`);
    if (port.nodePort) writer.field('NodePort', `${port.name ?? '<unset>'}  ${String(port.nodePort)}/${protocol}`);
    const found = (endpoints?.subsets ?? []).flatMap((subset) => (subset.ports ?? []).filter(({ name }) => name === port.name).flatMap((p) => (subset.addresses ?? []).map(({ ip }) => `${ip}:${String(p.port)}`)));
    writer.field('Endpoints', found.length > 3 ? `${found.slice(0, 3).join(',')} + ${String(found.length - 3)} more...` : found.join(','));
  }
  return writer.field('Session Affinity', spec?.sessionAffinity).field('Internal Traffic Policy', spec?.internalTrafficPolicy);
}

function describeNamespace(namespace: Namespace): DescribeWriter {
  return labels(start(namespace), namespace).field('Status', namespace.status?.phase);
}

/** By kind; any other kind is printed as its fields. */
export const describers: Readonly<Record<string, Describer>> = {
  Pod: describePod, Node: describeNode, Deployment: describeDeployment, ReplicaSet: describeReplicaSet, Service: describeService, Namespace: describeNamespace,
};

/** Any object as an indented list of its fields. Secrets' data is shown by size only. */
export function describeAny(object: Readonly<Record<string, unknown>>): DescribeWriter {
  const writer = labels(start(object as Parameters<typeof start>[0]), object as Parameters<typeof start>[0]);
  const walk = (value: Readonly<Record<string, unknown>>, indent: number): void => {
    for (const [key, child] of Object.entries(value)) {
      if (indent === 0 && ['metadata', 'apiVersion', 'kind'].includes(key)) continue;
      const title = indent === 0 ? key.replace(/^./, (c) => c.toUpperCase()) : key;
      if (object['kind'] === 'Secret' && key === 'data') {
        writer.line('Data:');
        for (const [name, data] of Object.entries(child as Record<string, string>)) writer.field(name, `${String(Buffer.from(data, 'base64').length)} bytes`, 1);
      } else if (Array.isArray(child)) {
        writer.line(`${title}:`, indent);
        for (const item of child as unknown[]) { if (typeof item === 'object' && item !== null) walk(item as Record<string, unknown>, indent + 1); else writer.line(String(item), indent + 1); }
      } else if (typeof child === 'object' && child !== null) {
        writer.line(`${title}:`, indent);
        walk(child as Record<string, unknown>, indent + 1);
      } else writer.field(title, String(child), indent);
    }
  };
  walk(object, 0);
  return writer;
}
