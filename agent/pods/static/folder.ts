import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import type { Pod } from '#api/gen/types.ts';
import { printFieldError } from '#api/meta/field-error.ts';
import { isRecord } from '#api/meta/json.ts';
import { keyOf } from '#api/meta/object.ts';
import { setAppArmorProfiles } from '#api/pod-spec/app-armor.ts';
import { messageOf } from '#common/errors.ts';
import { apiReferenceOf } from './api-references.ts';
import { sourceAnnotation } from './source.ts';

export const hashAnnotation = 'kubernetes.io/config.hash';
export const mirrorAnnotation = 'kubernetes.io/config.mirror';

const endings = new Set(['.yaml', '.yml', '.json']);
/** A manifest is written by hand. */
const maxBytes = 1 << 20;

export interface StaticFolder {
  /** By file name. */
  readonly pods: ReadonlyMap<string, Pod>;
  /** By file name, why it was passed over. */
  readonly problems: ReadonlyMap<string, string>;
}

/** The pods that the files of a folder describe, one each, as a node of that name runs them. A file that cannot be read stops no other. */
export async function readStaticPods(folder: string, nodeName: string): Promise<StaticFolder> {
  const pods = new Map<string, Pod>();
  const problems = new Map<string, string>();
  for (const file of (await readdir(folder)).filter((name) => !name.startsWith('.') && endings.has(extname(name))).sort()) {
    try {
      const pod = await staticPod(await readFile(join(folder, file)), join(folder, file), nodeName);
      const key = keyOf(pod);
      if ([...pods.values()].some((other) => keyOf(other) === key)) throw new Error(`another file describes the pod ${key} too`);
      pods.set(file, pod);
    } catch (error) {
      problems.set(file, messageOf(error));
    }
  }
  return { pods, problems };
}

/** As kubelet makes it of a file: named after the node, with a uid that follows from what it is and where. Held to the rules that the API holds pods to. */
async function staticPod(bytes: Buffer, path: string, nodeName: string): Promise<Pod> {
  if (bytes.length > maxBytes) throw new Error(`larger than ${String(maxBytes)} bytes`);
  const [{ parse }, { decode, applyDefaults, validate }, { pod: kind }] = await Promise.all([import('yaml'), import('#api/kinds/engine.ts'), import('#api/kinds/pod/kind.ts')]);
  const value: unknown = parse(bytes.toString(), { maxAliasCount: 0 });
  if (!isRecord(value) || value['kind'] !== 'Pod' || value['apiVersion'] !== 'v1') throw new Error('not a Pod of apiVersion v1');
  const { metadata = {}, spec } = applyDefaults(kind, decode(kind, value).object);
  const { name, namespace = 'default', labels, annotations } = metadata;
  if (!name) throw new Error('invalid pod: name is needed for the pod');
  const uid = createHash('sha256').update(`${nodeName}\n${path}\n`).update(JSON.stringify(value)).digest('hex').slice(0, 32);
  const pod: Pod = {
    apiVersion: 'v1', kind: 'Pod',
    metadata: { name: `${name}-${nodeName}`, namespace, uid, ...(labels && { labels }), annotations: { ...annotations, [sourceAnnotation]: 'file', [hashAnnotation]: uid } },
    ...(spec && { spec: { ...spec, nodeName, tolerations: [...spec.tolerations ?? [], { operator: 'Exists', effect: 'NoExecute' }] } }),
  };
  setAppArmorProfiles(pod);
  const errors = validate(kind, pod);
  if (errors.length > 0) throw new Error(`invalid pod: ${errors.map(printFieldError).join(', ')}`);
  const referred = apiReferenceOf(pod);
  if (referred !== undefined) throw new Error(`static pods may not reference ${referred}`);
  return pod;
}

/** What the API shows of it. */
export function mirrorOf(pod: Pod): Pod {
  const { metadata, spec } = pod;
  const { uid, ...rest } = metadata ?? {};
  return { apiVersion: 'v1', kind: 'Pod', metadata: { ...rest, annotations: { ...rest.annotations, [mirrorAnnotation]: uid ?? '' } }, spec };
}
