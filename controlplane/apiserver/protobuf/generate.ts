/**
 * Writes `fields.json`: number, name and type of every field of the messages that clients may send, with how
 * each becomes JSON. These are facts of the Kubernetes API; the descriptors come out of a kubectl binary.
 *
 *   node controlplane/apiserver/protobuf/generate.ts PATH-TO-KUBECTL
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { inflateRawSync } from 'node:zlib';
import protobuf from 'protobufjs';
import descriptor from 'protobufjs/ext/descriptor/index.js';

interface FieldDescriptor { name: string; number: number; label: number; type: number; typeName?: string }
interface MessageDescriptor { name: string; field: FieldDescriptor[]; nestedType: MessageDescriptor[]; options?: { mapEntry?: boolean } }
interface FileDescriptor { package: string; messageType: MessageDescriptor[] }
interface ApiSchema { properties?: Record<string, unknown>; required?: string[] }

void protobuf;
const scalars: Record<number, string> = { 1: 'double', 3: 'int64', 4: 'int64', 5: 'int32', 8: 'bool', 9: 'string', 12: 'bytes', 13: 'int32', 14: 'int32' };

/** Go pointers: a zero that is sent was meant. All other zeros are only how Go says nothing. */
const pointers = new Set(('replicas revisionHistoryLimit progressDeadlineSeconds terminationGracePeriodSeconds activeDeadlineSeconds runAsUser runAsGroup runAsNonRoot '
  + 'privileged readOnlyRootFilesystem allowPrivilegeEscalation fsGroup automountServiceAccountToken shareProcessNamespace enableServiceLinks setHostnameAsFQDN hostUsers '
  + 'optional defaultMode mode tolerationSeconds immutable expirationSeconds allocateLoadBalancerNodePorts gracePeriodSeconds orphanDependents controller blockOwnerDeletion '
  + 'ready serving terminating leaseDurationSeconds leaseTransitions priority minDomains hostProcess seconds procMount storageClassName '
  + 'completions parallelism backoffLimit backoffLimitPerIndex maxFailedIndexes ttlSecondsAfterFinished successfulJobsHistoryLimit failedJobsHistoryLimit startingDeadlineSeconds minReplicas '
  + 'averageUtilization stabilizationWindowSeconds partition suspend manualSelector allowVolumeExpansion attachRequired podInfoOnMount storageCapacity requiresRepublish seLinuxMount int bool').split(' '));

/** Every kind that is kept or answered, by the package that has it. */
const kinds: Record<string, string> = {
  'core.v1': 'Namespace Node Pod ConfigMap Secret Service Endpoints Event ServiceAccount Binding LimitRange PersistentVolume PersistentVolumeClaim PodTemplate ReplicationController ResourceQuota',
  'apps.v1': 'Deployment ReplicaSet StatefulSet DaemonSet ControllerRevision',
  'batch.v1': 'Job CronJob',
  'autoscaling.v1': 'Scale HorizontalPodAutoscaler',
  'autoscaling.v2': 'HorizontalPodAutoscaler',
  'policy.v1': 'Eviction PodDisruptionBudget',
  'networking.v1': 'Ingress IngressClass NetworkPolicy IPAddress ServiceCIDR',
  'discovery.v1': 'EndpointSlice',
  'coordination.v1': 'Lease',
  'events.v1': 'Event',
  'scheduling.v1': 'PriorityClass',
  'node.v1': 'RuntimeClass',
  'storage.v1': 'StorageClass CSIDriver CSINode CSIStorageCapacity VolumeAttachment VolumeAttributesClass',
  'rbac.v1': 'Role RoleBinding ClusterRole ClusterRoleBinding',
  'certificates.v1': 'CertificateSigningRequest',
  'authentication.v1': 'TokenRequest TokenReview SelfSubjectReview',
  'authorization.v1': 'SubjectAccessReview LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview',
  'admissionregistration.v1': 'MutatingWebhookConfiguration ValidatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding',
  'resource.v1': 'DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice',
  'flowcontrol.v1': 'FlowSchema PriorityLevelConfiguration',
  'meta.v1': 'DeleteOptions',
};
const roots = Object.entries(kinds).flatMap(([name, words]) => words.split(' ').map((word) => `${name}.${word}`));

/** Where our types had to have another name than Kubernetes' messages. */
const schemaNames: Record<string, string> = {
  'flowcontrol.v1.Subject': 'FlowSubject', 'events.v1.Event': 'EventsEvent', 'events.v1.EventSeries': 'EventsEventSeries', 'discovery.v1.EndpointPort': 'DiscoveryEndpointPort',
  'storage.v1.TokenRequest': 'StorageTokenRequest', 'autoscaling.v1.HorizontalPodAutoscaler': 'HorizontalPodAutoscalerV1', 'autoscaling.v1.HorizontalPodAutoscalerSpec': 'HorizontalPodAutoscalerV1Spec',
  'admissionregistration.v1.ServiceReference': 'WebhookServiceReference', 'core.v1.ResourceClaim': 'ContainerResourceClaim',
};

const schemas = JSON.parse(readFileSync(new URL('../../../api/gen/schemas.json', import.meta.url), 'utf8')) as Record<string, ApiSchema>;

function files(binary: Buffer): FileDescriptor[] {
  const found: FileDescriptor[] = [];
  const magic = Buffer.from([0x1f, 0x8b, 0x08]);
  for (let at = binary.indexOf(magic); at >= 0; at = binary.indexOf(magic, at + 1)) {
    for (const size of [1 << 12, 1 << 15, 1 << 18]) {
      try {
        // Without its header, so that reading ends where this one does: another may follow at once.
        const raw = inflateRawSync(binary.subarray(at + 10, at + size), { finishFlush: 2, maxOutputLength: 1 << 20 });
        const file = (descriptor as unknown as { FileDescriptorProto: protobuf.Type }).FileDescriptorProto.decode(raw).toJSON() as unknown as FileDescriptor;
        if (file.package?.startsWith('k8s.io.') && file.messageType) found.push(file);
        break;
      } catch { /* not a descriptor, or cut off: try more of it */ }
    }
  }
  return found;
}

const messages = new Map<string, MessageDescriptor>();
for (const file of files(readFileSync(process.argv[2] ?? ''))) for (const message of file.messageType) messages.set(shortName(`.${file.package}.${message.name}`), message);

/** `.k8s.io.api.core.v1.Pod` → `core.v1.Pod`. */
function shortName(typeName: string): string {
  return typeName.split('.').slice(-3).join('.');
}

const typeNumbers: Record<string, number> = { TYPE_DOUBLE: 1, TYPE_INT64: 3, TYPE_UINT64: 4, TYPE_INT32: 5, TYPE_BOOL: 8, TYPE_STRING: 9, TYPE_MESSAGE: 11, TYPE_BYTES: 12, TYPE_UINT32: 13, TYPE_ENUM: 14 };
const out: Record<string, Record<string, string>> = {};
const queue = [...roots];
for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
  // What came to be stable after the kubectl at hand had the same form before.
  const message = [name, name.replace('.v1.', '.v1beta2.'), name.replace('.v1.', '.v1beta1.')].map((one) => messages.get(one)).find((one) => one !== undefined);
  if (out[name] || !message) continue;
  const schema = schemas[schemaNames[name] ?? message.name];
  const rows: Record<string, string> = out[name] = {};
  for (const field of message.field) {
    const { type, map } = typeOf(field, message);
    const isMessage = type.includes('.');
    if (isMessage) queue.push(type);
    const repeated = String(field.label) === 'LABEL_REPEATED' || field.label === 3;
    // What JSON does not know by this name Go embeds: its fields stand in its parent's place.
    const inline = isMessage && !map && !repeated && schema?.properties !== undefined && !Object.hasOwn(schema.properties, field.name);
    const keepsZero = pointers.has(field.name) || (schema?.required ?? []).includes(field.name);
    const mark = map ? '%' : repeated ? '*' : inline ? '<' : keepsZero ? '!' : '';
    rows[field.number] = `${field.name} ${mark}${type}`;
  }
}

function typeOf(field: FieldDescriptor, message: MessageDescriptor): { type: string; map: boolean } {
  const number = typeof field.type === 'string' ? typeNumbers[field.type] ?? 0 : field.type;
  if (number !== 11) return { type: scalars[number] ?? 'int64', map: false };
  const entry = message.nestedType?.find((nested) => field.typeName?.endsWith(`.${message.name}.${nested.name}`) && nested.options?.mapEntry);
  const value = entry?.field.find((one) => one.number === 2);
  if (entry && value) return { type: typeOf(value, entry).type, map: true };
  return { type: shortName(field.typeName ?? ''), map: false };
}

const lines = Object.entries(out).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, rows]) => `${JSON.stringify(name)}: ${JSON.stringify(rows)}`);
writeFileSync(new URL('fields.json', import.meta.url), `{\n${lines.join(',\n')}\n}\n`);
