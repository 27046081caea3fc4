import type { ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret, Volume, VolumeProjection } from '#api/gen/types.ts';
import { StatusError } from '#common/errors.ts';
import type { ObjectLookup } from '../spec/env.ts';
import { fieldValue, resourceValue, type FieldFacts } from '../spec/fields.ts';
import { onlyUserOf } from '../spec/security.ts';

/** The files of a volume that mirrors API objects, by path relative to it. Without `uid` they are root's. */
export type Payload = Map<string, { data: Buffer; mode: number; uid?: number }>;

const defaultMode = 0o644;

/** `tokens`: those of service accounts, by path. Undefined for a volume of another type. Rejects with `NotFound` when something that is not optional is missing. */
export function volumePayload(pod: Pod, volume: Volume, lookup: ObjectLookup, facts: FieldFacts, tokens: ReadonlyMap<string, string> = new Map()): Payload | undefined {
  const namespace = pod.metadata?.namespace ?? '';
  const payload: Payload = new Map();
  if (volume.configMap) {
    const { name = '', items, optional, defaultMode: mode } = volume.configMap;
    addMap(payload, mapContent(lookup.configMap(namespace, name)), { what: 'configmap', namespace, name, items, optional, mode: mode ?? defaultMode });
  } else if (volume.secret) {
    const { secretName: name = '', items, optional, defaultMode: mode } = volume.secret;
    addMap(payload, secretContent(lookup.secret(namespace, name)), { what: 'secret', namespace, name, items, optional, mode: mode ?? defaultMode });
  } else if (volume.downwardAPI) {
    addFields(payload, pod, volume.downwardAPI.items, volume.downwardAPI.defaultMode ?? defaultMode, facts);
  } else if (volume.projected) {
    const mode = volume.projected.defaultMode ?? defaultMode;
    for (const source of volume.projected.sources ?? []) addProjection(payload, pod, source, mode, lookup, facts, tokens);
  } else {
    return undefined;
  }
  return payload;
}

function addProjection(payload: Payload, pod: Pod, source: VolumeProjection, mode: number, lookup: ObjectLookup, facts: FieldFacts, tokens: ReadonlyMap<string, string>): void {
  const namespace = pod.metadata?.namespace ?? '';
  if (source.configMap) {
    const { name = '', items, optional } = source.configMap;
    addMap(payload, mapContent(lookup.configMap(namespace, name)), { what: 'configmap', namespace, name, items, optional, mode });
  } else if (source.secret) {
    const { name = '', items, optional } = source.secret;
    addMap(payload, secretContent(lookup.secret(namespace, name)), { what: 'secret', namespace, name, items, optional, mode });
  } else if (source.downwardAPI) {
    addFields(payload, pod, source.downwardAPI.items, mode, facts);
  } else if (source.serviceAccountToken) {
    const { path } = source.serviceAccountToken;
    const uid = onlyUserOf(pod);
    // As kubelet has it: its reader is the one user of all containers, and a group that is given in order to share the volume; else whoever the mode says.
    const isShared = uid === undefined && pod.spec?.securityContext?.fsGroup === undefined;
    payload.set(checkedPath(path), { data: Buffer.from(tokens.get(path) ?? ''), mode: isShared ? mode : 0o600, ...(uid !== undefined && { uid }) });
  } else {
    throw new StatusError('Invalid', `this source of a projected volume is not supported on this node: ${Object.keys(source).join(', ')}; use configMap, secret or downwardAPI`);
  }
}

interface MapSource {
  readonly what: 'configmap' | 'secret';
  readonly namespace: string;
  readonly name: string;
  readonly items: readonly KeyToPath[] | undefined;
  readonly optional: boolean | undefined;
  readonly mode: number;
}

function addMap(payload: Payload, content: ReadonlyMap<string, Buffer> | undefined, source: MapSource): void {
  if (!content) {
    if (source.optional) return;
    throw new StatusError('NotFound', `${source.what} "${source.name}" not found`);
  }
  const items = source.items ?? [...content.keys()].map((key): KeyToPath => ({ key, path: key }));
  for (const item of items) {
    const data = content.get(item.key);
    if (data) payload.set(checkedPath(item.path), { data, mode: item.mode ?? source.mode });
    else if (!source.optional) throw new StatusError('NotFound', `${source.what} references non-existent ${source.what === 'secret' ? 'secret' : 'config'} key: ${item.key}`);
  }
}

function addFields(payload: Payload, pod: Pod, items: readonly DownwardAPIVolumeFile[] | undefined, mode: number, facts: FieldFacts): void {
  for (const item of items ?? []) {
    const text = item.fieldRef ? fieldValue(pod, item.fieldRef, facts) : item.resourceFieldRef ? resourceValue(pod, item.resourceFieldRef, undefined, facts) : '';
    payload.set(checkedPath(item.path), { data: Buffer.from(text), mode: item.mode ?? mode });
  }
}

/** The API refuses such paths too; a file outside the volume must not depend on that. */
function checkedPath(path: string): string {
  if (path === '' || path.startsWith('/') || path.split('/').some((part) => part === '..' || part.startsWith('..') || part === '')) {
    throw new StatusError('Invalid', `${JSON.stringify(path)} is not a relative path inside the volume`);
  }
  return path;
}

function mapContent(map: ConfigMap | undefined): Map<string, Buffer> | undefined {
  return map && new Map([
    ...Object.entries(map.data ?? {}).map(([key, value]) => [key, Buffer.from(value)] as const),
    ...Object.entries(map.binaryData ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64')] as const),
  ]);
}

function secretContent(secret: Secret | undefined): Map<string, Buffer> | undefined {
  return secret && new Map(Object.entries(secret.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64')]));
}
