import type { Container, EnvVar, HTTPGetAction, LifecycleHandler, PodSpec, PodTemplateSpec, Probe, Volume } from '../gen/types.ts';
import { setClaimSpecDefaults } from '../claim-spec/defaults.ts';
import { setSourceDefaults } from './volume-sources.ts';

const defaultFileMode = 0o644;

/** What every pod spec gets, in a Pod as in a template. Changes `spec` in place. Idempotent. */
export function setPodSpecDefaults(spec: PodSpec): void {
  spec.restartPolicy ||= 'Always';
  spec.dnsPolicy ||= 'ClusterFirst';
  spec.schedulerName ||= 'default-scheduler';
  spec.terminationGracePeriodSeconds ??= 30;
  spec.securityContext ??= {};
  // The old name is kept beside the new one, whichever a client sent.
  const account = spec.serviceAccountName || spec.serviceAccount;
  if (account) {
    spec.serviceAccountName = account;
    spec.serviceAccount = account;
  }
  for (const volume of spec.volumes ?? []) setVolumeDefaults(volume);
  for (const container of allContainers(spec)) setContainerDefaults(container);
}

/** What a Pod gets beyond its template: requests from limits, service links, host ports. */
export function setPodOnlyDefaults(spec: PodSpec): void {
  spec.enableServiceLinks ??= true;
  for (const container of [...spec.containers ?? [], ...spec.initContainers ?? []]) {
    setRequestsFromLimits(container);
    if (spec.hostNetwork === true) for (const port of container.ports ?? []) port.hostPort ||= port.containerPort;
  }
}

export function setTemplateDefaults(template: PodTemplateSpec | undefined): void {
  if (template?.spec !== undefined) setPodSpecDefaults(template.spec);
}

/** Init containers, containers and ephemeral containers. */
export function allContainers(spec: PodSpec): Container[] {
  return [...spec.initContainers ?? [], ...spec.containers ?? [], ...spec.ephemeralContainers ?? []];
}

function setRequestsFromLimits(container: Container): void {
  const { resources } = container;
  if (resources?.limits === undefined) return;
  const requests = (resources.requests ??= {});
  for (const [name, quantity] of Object.entries(resources.limits)) if (!Object.hasOwn(requests, name)) requests[name] = quantity;
  if (Object.keys(requests).length === 0) delete resources.requests;
}

/** `latest`, written or implied, changes under its name and is therefore always pulled. */
function pullPolicyOf(image: string): string {
  const [name = '', digest] = image.split('@');
  const tag = /:([^:/]+)$/.exec(name)?.[1];
  return tag === 'latest' || (tag === undefined && digest === undefined) ? 'Always' : 'IfNotPresent';
}

function setContainerDefaults(container: Container): void {
  container.imagePullPolicy ||= pullPolicyOf(container.image ?? '');
  container.terminationMessagePath ||= '/dev/termination-log';
  container.terminationMessagePolicy ||= 'File';
  container.resources ??= {};
  for (const port of container.ports ?? []) port.protocol ||= 'TCP';
  for (const variable of container.env ?? []) setEnvDefaults(variable);
  for (const probe of [container.livenessProbe, container.readinessProbe, container.startupProbe]) if (probe !== undefined) setProbeDefaults(probe);
  setHandlerDefaults(container.lifecycle?.postStart);
  setHandlerDefaults(container.lifecycle?.preStop);
}

/** Drops what Kubernetes v1.34 has switched off, as it does itself, and no host here heeds: without it the variable is refused. */
function setEnvDefaults({ valueFrom }: EnvVar): void {
  if (valueFrom !== undefined) delete valueFrom.fileKeyRef;
  if (valueFrom?.fieldRef !== undefined) valueFrom.fieldRef.apiVersion ||= 'v1';
  if (valueFrom?.resourceFieldRef !== undefined) valueFrom.resourceFieldRef.divisor ??= '0';
}

function setProbeDefaults(probe: Probe): void {
  probe.timeoutSeconds ||= 1;
  probe.periodSeconds ||= 10;
  probe.successThreshold ||= 1;
  probe.failureThreshold ||= 3;
  if (probe.grpc !== undefined) probe.grpc.service ??= '';
  setHttpDefaults(probe.httpGet);
}

function setHandlerDefaults(handler: LifecycleHandler | undefined): void {
  setHttpDefaults(handler?.httpGet);
}

function setHttpDefaults(action: HTTPGetAction | undefined): void {
  if (action === undefined) return;
  action.path ||= '/';
  action.scheme ||= 'HTTP';
}

function setVolumeDefaults(volume: Volume): void {
  if (Object.entries(volume).every(([key, source]) => key === 'name' || source === undefined)) volume.emptyDir = {};
  const { configMap, downwardAPI, ephemeral, image, projected, secret } = volume;
  for (const source of [configMap, downwardAPI, projected, secret]) if (source !== undefined) source.defaultMode ??= defaultFileMode;
  setSourceDefaults(volume);
  if (ephemeral?.volumeClaimTemplate?.spec !== undefined) setClaimSpecDefaults(ephemeral.volumeClaimTemplate.spec);
  if (image !== undefined) image.pullPolicy ||= pullPolicyOf(image.reference ?? '');
  setDownwardDefaults(downwardAPI?.items);
  for (const source of projected?.sources ?? []) {
    if (source.serviceAccountToken !== undefined) source.serviceAccountToken.expirationSeconds ??= 3600;
    setDownwardDefaults(source.downwardAPI?.items);
    // Switched off in v1.34, which drops them, too.
    delete source.clusterTrustBundle;
    delete source.podCertificate;
  }
}

function setDownwardDefaults(items: NonNullable<Volume['downwardAPI']>['items']): void {
  for (const item of items ?? []) {
    if (item.fieldRef !== undefined) item.fieldRef.apiVersion ||= 'v1';
    if (item.resourceFieldRef !== undefined) item.resourceFieldRef.divisor ??= '0';
  }
}
