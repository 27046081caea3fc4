import type { Container, ContainerState, ContainerStatus, EnvVar, Pod, Probe, ResourceFieldSelector } from '#api/gen/types.ts';
import { parseQuantity } from '#api/meta/quantity.ts';
import { byKey, rfc1123 } from './metadata.ts';
import type { DescribeWriter } from './writer.ts';

export interface ContainersOptions {
  readonly title: string;
  readonly containers: readonly Container[];
  readonly statuses?: readonly ContainerStatus[] | undefined;
  /** Absent inside a template: field references stay open and names are set in by one blank. */
  readonly pod?: Pod;
}

export function describeContainers(writer: DescribeWriter, { title, containers, statuses, pod }: ContainersOptions): void {
  const indent = pod ? '' : '  ';
  writer.row(0, `${indent}${title}:${containers.length === 0 ? ' <none>' : ''}`);
  for (const container of containers) {
    const status = statuses?.find(({ name }) => name === container.name);
    writer.row(1, `${pod ? '' : ' '}${container.name}:`);
    describeImage(writer, container, status);
    for (const [name, words] of [['Command', container.command], ['Args', container.args]] as const) {
      if (!words?.length) continue;
      writer.row(2, `${name}:`);
      for (const word of words) for (const line of word.split('\n')) writer.row(3, line);
    }
    if (status) describeStatus(writer, status);
    for (const [name, quantities] of [['Limits', container.resources?.limits], ['Requests', container.resources?.requests]] as const) {
      const rows = Object.entries(quantities ?? {}).sort(byKey);
      if (rows.length > 0) writer.row(2, `${name}:`);
      for (const [resource, quantity] of rows) writer.row(3, `${resource}:`, quantity);
    }
    for (const [name, probe] of [['Liveness', container.livenessProbe], ['Readiness', container.readinessProbe], ['Startup', container.startupProbe]] as const) {
      if (probe) writer.row(2, `${name}:`, describeProbe(probe));
    }
    describeEnvironment(writer, container, pod);
    describeMounts(writer, container);
  }
}

function describeImage(writer: DescribeWriter, container: Container, status: ContainerStatus | undefined): void {
  if (status) writer.row(2, 'Container ID:', status.containerID ?? '');
  writer.row(2, 'Image:', container.image ?? '');
  if (status) writer.row(2, 'Image ID:', status.imageID ?? '');
  const ports = container.ports ?? [];
  const list = (title: string, numbers: readonly string[]): void => { writer.row(2, `${title}${numbers.length > 1 ? 's' : ''}:`, numbers.join(', ') || '<none>'); };
  list('Port', ports.map((port) => `${String(port.containerPort)}/${port.protocol ?? 'TCP'}`));
  list('Host Port', ports.map((port) => `${String(port.hostPort ?? 0)}/${port.protocol ?? 'TCP'}`));
}

function describeStatus(writer: DescribeWriter, status: ContainerStatus): void {
  describeState(writer, 'State', status.state);
  if (status.lastState?.terminated) describeState(writer, 'Last State', status.lastState);
  writer.row(2, 'Ready:', status.ready ? 'True' : 'False').row(2, 'Restart Count:', status.restartCount);
}

function describeState(writer: DescribeWriter, title: string, state: ContainerState | undefined): void {
  if (state?.running) {
    writer.row(2, `${title}:`, 'Running').row(3, 'Started:', rfc1123(state.running.startedAt));
  } else if (state?.terminated) {
    const { reason, message, exitCode, signal, startedAt, finishedAt } = state.terminated;
    writer.row(2, `${title}:`, 'Terminated');
    if (reason) writer.row(3, 'Reason:', reason);
    if (message) writer.row(3, 'Message:', message);
    writer.row(3, 'Exit Code:', exitCode);
    if (signal) writer.row(3, 'Signal:', signal);
    writer.row(3, 'Started:', rfc1123(startedAt)).row(3, 'Finished:', rfc1123(finishedAt));
  } else {
    writer.row(2, `${title}:`, 'Waiting');
    if (state?.waiting?.reason) writer.row(3, 'Reason:', state.waiting.reason);
  }
}

function describeProbe(probe: Probe): string {
  const { initialDelaySeconds = 0, timeoutSeconds = 1, periodSeconds = 10, successThreshold = 1, failureThreshold = 3, exec, httpGet, tcpSocket, grpc } = probe;
  const timing = `delay=${String(initialDelaySeconds)}s timeout=${String(timeoutSeconds)}s period=${String(periodSeconds)}s #success=${String(successThreshold)} #failure=${String(failureThreshold)}`;
  if (exec) return `exec [${(exec.command ?? []).join(' ')}] ${timing}`;
  if (httpGet) return `http-get ${(httpGet.scheme ?? 'HTTP').toLowerCase()}://${httpGet.host ?? ''}:${String(httpGet.port)}${httpGet.path ?? ''} ${timing}`;
  if (tcpSocket) return `tcp-socket ${tcpSocket.host ?? ''}:${String(tcpSocket.port)} ${timing}`;
  if (grpc) return `grpc <pod>:${String(grpc.port)} ${grpc.service ?? ''} ${timing}`;
  return `unknown ${timing}`;
}

function describeEnvironment(writer: DescribeWriter, container: Container, pod: Pod | undefined): void {
  const { env = [], envFrom = [] } = container;
  if (envFrom.length > 0) writer.row(2, 'Environment Variables from:');
  for (const { configMapRef, secretRef, prefix } of envFrom) {
    const source = configMapRef ?? secretRef;
    writer.row(3, source?.name ?? '', `${configMapRef ? 'ConfigMap' : 'Secret'}${prefix ? ` with prefix '${prefix}'` : ''}`, `Optional: ${String(source?.optional ?? false)}`);
  }
  writer.row(2, 'Environment:', ...(env.length === 0 ? ['<none>'] : []));
  for (const variable of env) writer.row(3, `${variable.name}:`, ...describeVariable(variable, container, pod));
}

function describeVariable({ value = '', valueFrom }: EnvVar, container: Container, pod: Pod | undefined): string[] {
  if (!valueFrom) return [value.replaceAll('\n', '\n      \t')];
  const { fieldRef, resourceFieldRef, secretKeyRef, configMapKeyRef } = valueFrom;
  if (fieldRef) return [`${pod ? fieldOf(pod, fieldRef.fieldPath) : ''} (${fieldRef.apiVersion ?? 'v1'}:${fieldRef.fieldPath})`];
  if (resourceFieldRef) return [`${pod ? resourceOf(container, resourceFieldRef) : ''} (${resourceFieldRef.resource})`];
  if (secretKeyRef) return [`<set to the key '${secretKeyRef.key}' in secret '${secretKeyRef.name ?? ''}'>`, `Optional: ${String(secretKeyRef.optional ?? false)}`];
  return [`<set to the key '${configMapKeyRef?.key ?? ''}' of config map '${configMapKeyRef?.name ?? ''}'>`, `Optional: ${String(configMapKeyRef?.optional ?? false)}`];
}

/** The value of a plain path such as `status.podIP` or `metadata.labels['app']`. */
function fieldOf(pod: Pod, path: string): string {
  let value: unknown = pod;
  for (const part of path.matchAll(/([^.[\]']+)|\['([^']+)'\]/g)) value = (value as Record<string, unknown> | undefined)?.[part[2] ?? part[1] ?? ''];
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

/** What the container would be told of `limits.cpu` and the like; rounded up to whole divisors. */
function resourceOf(container: Container, { resource, divisor }: ResourceFieldSelector): string {
  const [kind = '', name = ''] = resource.split(/\.(.*)/s);
  const quantity = container.resources?.[kind === 'limits' ? 'limits' : 'requests']?.[name];
  if (quantity === undefined) return kind === 'limits' ? 'node allocatable' : '0';
  const unit = parseQuantity(divisor === undefined || divisor === '0' ? '1' : divisor);
  return String((parseQuantity(quantity) + unit - 1n) / unit);
}

function describeMounts(writer: DescribeWriter, { volumeMounts = [] }: Container): void {
  writer.row(2, 'Mounts:', ...(volumeMounts.length === 0 ? ['<none>'] : []));
  for (const { mountPath, name, readOnly, subPath } of volumeMounts.toSorted((a, b) => (a.mountPath < b.mountPath ? -1 : 1))) {
    writer.row(3, `${mountPath} from ${name} (${readOnly ? 'ro' : 'rw'}${subPath ? `,path="${subPath}"` : ''})`);
  }
}
