/**
 * Writes `fields.json`: number, name and type of every field of the messages that clients may send, with how
 * each becomes JSON. These are facts of the Kubernetes API; the descriptors come out of a kubectl binary.
 *
 *   node controlplane/apiserver/protobuf/generate.ts PATH-TO-KUBECTL
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
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
  + 'ready serving terminating leaseDurationSeconds leaseTransitions priority minDomains hostProcess seconds procMount storageClassName').split(' '));

const roots = ['core.v1.Namespace', 'core.v1.Node', 'core.v1.Pod', 'core.v1.ConfigMap', 'core.v1.Secret', 'core.v1.Service', 'core.v1.Endpoints', 'core.v1.Event', 'core.v1.ServiceAccount', 'core.v1.Binding',
  'discovery.v1.EndpointSlice', 'coordination.v1.Lease', 'apps.v1.Deployment', 'apps.v1.ReplicaSet', 'autoscaling.v1.Scale', 'meta.v1.DeleteOptions',
  'authorization.v1.SelfSubjectAccessReview', 'authorization.v1.SelfSubjectRulesReview', 'authentication.v1.SelfSubjectReview'];

const schemas = JSON.parse(readFileSync(new URL('../../../api/gen/schemas.json', import.meta.url), 'utf8')) as Record<string, ApiSchema>;

function files(binary: Buffer): FileDescriptor[] {
  const found: FileDescriptor[] = [];
  const magic = Buffer.from([0x1f, 0x8b, 0x08]);
  for (let at = binary.indexOf(magic); at >= 0; at = binary.indexOf(magic, at + 1)) {
    for (const size of [1 << 12, 1 << 15, 1 << 18]) {
      try {
        const raw = gunzipSync(binary.subarray(at, at + size), { finishFlush: 2, maxOutputLength: 1 << 20 });
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
  const message = messages.get(name);
  if (out[name] || !message) continue;
  const schema = schemas[message.name];
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
