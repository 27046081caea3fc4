import type { ConfigMap, Endpoints, EndpointSlice, Namespace, PriorityClass, Service, ServiceAccount, StorageClass } from '#api/gen/types.ts';
import { configMaps, endpoints, endpointSlices, namespaces, priorityClasses, serviceAccounts, serviceCidrs, services, storageClasses, type Resource } from '#api/kinds/resources.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { rangesConfigMap } from '#api/network/ranges.ts';
import { localPathProvisioner } from '#api/volumes/binding.ts';
import { isStatus } from '#common/errors.ts';
import type { ApiClient } from './types.ts';

export interface BootstrapConfig {
  /** First address of the service range. */
  readonly serviceAddress: string;
  /** Where the agents answer names. */
  readonly clusterDns: string;
  /** One range, or one of each family. */
  readonly serviceCidr: string;
  readonly podCidr: string;
  /** Where the API is reached, for pods; empty when not known. */
  readonly advertiseAddress: string;
  readonly port: number;
  /** Whom aggregated servers believe; see `authenticationData`. */
  readonly authentication: Readonly<Record<string, string>>;
}

const systemClasses = {
  'system-cluster-critical': { value: 2_000_000_000, description: 'For pods that the cluster needs, on whichever node.' },
  'system-node-critical': { value: 2_000_001_000, description: 'For pods that their node needs.' },
} as const;
const initialNamespaces = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];

/** Makes what every cluster has: the first namespaces, and the Service by which pods reach the API. Writes nothing that is there. */
export async function bootstrap(client: ApiClient, config: BootstrapConfig): Promise<void> {
  for (const name of initialNamespaces) await ensure<Namespace>(client, namespaces, { metadata: { name } });
  for (const namespace of initialNamespaces) await ensure<ServiceAccount>(client, serviceAccounts, { metadata: { name: 'default', namespace } });
  for (const [name, { value, description }] of Object.entries(systemClasses)) await ensure<PriorityClass>(client, priorityClasses, { metadata: { name }, value, description });
  await ensure<ConfigMap>(client, configMaps, { metadata: { name: 'extension-apiserver-authentication', namespace: 'kube-system' }, data: { ...config.authentication } });
  await ensureServiceRange(client, config.serviceCidr.split(','));
  await ensure<ConfigMap>(client, configMaps, { metadata: { ...rangesConfigMap }, data: { podCidr: config.podCidr, serviceCidr: config.serviceCidr, clusterDns: config.clusterDns } });
  await ensureStorageClass(client);
  const metadata = { name: 'kubernetes', namespace: 'default', labels: { component: 'apiserver', provider: 'kubernetes' } };
  await ensure<Service>(client, services, {
    metadata,
    spec: { type: 'ClusterIP', clusterIP: config.serviceAddress, ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: config.port }] },
  });
  await ensureDnsService(client, config.clusterDns);
  if (config.advertiseAddress === '') return;
  await ensure<Endpoints>(client, endpoints, {
    metadata: { name: 'kubernetes', namespace: 'default', labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } },
    subsets: [{ addresses: [{ ip: config.advertiseAddress }], ports: [{ name: 'https', port: config.port, protocol: 'TCP' }] }],
  });
  await ensure<EndpointSlice>(client, endpointSlices, {
    metadata: { name: 'kubernetes', namespace: 'default', labels: { 'kubernetes.io/service-name': 'kubernetes' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [config.advertiseAddress], conditions: { ready: true } }],
    ports: [{ name: 'https', port: config.port, protocol: 'TCP' }],
  });
}

/**
 * The Service by which Kubernetes' clusters know their DNS. The agents answer at its address themselves, which the label
 * says; a Service of that name without it is somebody's own DNS, and left alone like any that is there.
 */
async function ensureDnsService(client: ApiClient, clusterIP: string): Promise<void> {
  const labels = { 'k8s-app': 'kube-dns', 'kubernetes.io/cluster-service': 'true', 'service.kubernetes.io/service-proxy-name': 'cleat-dns' };
  const ports = [{ name: 'dns', port: 53, protocol: 'UDP' }, { name: 'dns-tcp', port: 53, protocol: 'TCP' }];
  try {
    await client.create<Service>(services, { metadata: { name: 'kube-dns', namespace: 'kube-system', labels }, spec: { type: 'ClusterIP', clusterIP, ports } });
  } catch (error) {
    // Invalid: another Service of kube-system has the address.
    if (!isStatus(error, 'AlreadyExists', 'Invalid')) throw error;
  }
}

/** Volumes that are directories on the nodes. Left as it is when it is there, and the default only where there is no other. */
async function ensureStorageClass(client: ApiClient): Promise<void> {
  const { items } = await client.list<StorageClass>(storageClasses);
  const isDefault = 'storageclass.kubernetes.io/is-default-class';
  const hasDefault = items.some(({ metadata }) => metadata?.annotations?.[isDefault] === 'true');
  const storageClass: StorageClass = {
    metadata: { name: 'local-path', ...(!hasDefault && { annotations: { [isDefault]: 'true' } }) },
    provisioner: localPathProvisioner, reclaimPolicy: 'Delete', allowVolumeExpansion: true, volumeBindingMode: 'WaitForFirstConsumer',
  };
  try {
    await client.create(storageClasses, storageClass);
  } catch (error) {
    if (!isStatus(error, 'AlreadyExists')) throw error;
  }
}

/** Made once: what it says can only be added to by a second family, and addresses are handed out by the flag all the same. */
async function ensureServiceRange(client: ApiClient, cidrs: readonly string[]): Promise<void> {
  try {
    const { metadata } = await client.create(serviceCidrs, { metadata: { name: 'kubernetes' }, spec: { cidrs: cidrs.map((cidr) => cidr.trim()) } });
    const ready = { type: 'Ready', status: 'True', reason: '', message: 'Kubernetes Service CIDR is ready', lastTransitionTime: metadata?.creationTimestamp };
    await client.patch(serviceCidrs, undefined, 'kubernetes', 'merge', { status: { conditions: [ready] } }, 'status');
  } catch (error) {
    if (!isStatus(error, 'AlreadyExists')) throw error;
    const { spec } = await client.get(serviceCidrs, undefined, 'kubernetes');
    if (cidrs.length === 2 && spec?.cidrs?.length === 1 && spec.cidrs[0] === cidrs[0]) await client.patch(serviceCidrs, undefined, 'kubernetes', 'merge', { spec: { cidrs } });
  }
}

/** Creates the object, or brings what is there to the same fields: addresses and ports may have changed since. */
async function ensure<T extends KubeObject>(client: ApiClient, resource: Resource<T>, object: T): Promise<void> {
  const { name = '', namespace } = object.metadata ?? {};
  // Looked for first: creating a Service that is there would be refused for its address before its name.
  try {
    await client.patch(resource, namespace, name, 'merge', object);
    return;
  } catch (error) {
    if (!isStatus(error, 'NotFound')) throw error;
  }
  try {
    await client.create(resource, object);
  } catch (error) {
    // A controller was faster: it makes the ServiceAccounts of namespaces too.
    if (!isStatus(error, 'AlreadyExists')) throw error;
    await client.patch(resource, namespace, name, 'merge', object);
  }
}
