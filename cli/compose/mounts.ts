import { homedir } from 'node:os';
import { resolve } from 'node:path';
import type { Files, Note, Project, Raw } from './types.ts';
import { bytesOf, integerOf, isMap, labelOf, listOf, mapOf, refuseValue, textOf, textsOf, truth } from './values.ts';

export interface Mounts { readonly volumes: Raw[]; readonly volumeMounts: Raw[]; /** True when the pod keeps something that no second one may write at the same time. */ claims: boolean }

/** The claim that a volume of the file is kept in. */
export function claimName(project: Project, volume: string): string {
  const { external, name } = mapOf(mapOf(project.file['volumes'], 'volumes')[volume], `volumes.${volume}`);
  if (name !== undefined) return labelOf(textOf(name, `volumes.${volume}.name`), `volumes.${volume}.name`);
  return labelOf(external === true || isMap(external) ? volume : `${project.name}-${volume}`, `volumes.${volume}`);
}

/** Name and key of what a secret or config of the file becomes. */
export function storedName(project: Project, kind: 'secrets' | 'configs', name: string): string {
  const entry = mapOf(mapOf(project.file[kind], kind)[name], `${kind}.${name}`);
  if (entry['name'] !== undefined) return labelOf(textOf(entry['name'], `${kind}.${name}.name`), `${kind}.${name}.name`);
  return labelOf(truth(entry['external'], `${kind}.${name}.external`) ? name : `${project.name}-${name}`, `${kind}.${name}`);
}

export function mountsOf(project: Project, service: Raw, where: string, files: Files, notes: Note[]): Mounts {
  const mounts: Mounts = { volumes: [], volumeMounts: [], claims: false };
  for (const [i, item] of listOf(service['volumes'], `${where}.volumes`).entries()) addVolume(mounts, project, item, `${where}.volumes[${String(i)}]`, files, notes);
  for (const item of textsOf(service['tmpfs'], `${where}.tmpfs`)) {
    const [path = '', options = ''] = item.split(':');
    const size = /(?:^|,)size=(\w+)/.exec(options)?.[1];
    add(mounts, 'tmpfs', { emptyDir: { medium: 'Memory', ...(size !== undefined && { sizeLimit: bytesOf(size, `${where}.tmpfs`) }) } }, { mountPath: path });
  }
  if (service['shm_size'] !== undefined) add(mounts, 'shm', { emptyDir: { medium: 'Memory', sizeLimit: bytesOf(service['shm_size'], `${where}.shm_size`) } }, { mountPath: '/dev/shm' });
  for (const kind of ['secrets', 'configs'] as const) for (const [i, item] of listOf(service[kind], `${where}.${kind}`).entries()) addStored(mounts, project, kind, item, `${where}.${kind}[${String(i)}]`, notes);
  const paths = mounts.volumeMounts.map((mount) => mount['mountPath']);
  const twice = paths.find((path, i) => paths.indexOf(path) !== i);
  if (twice !== undefined) throw refuseValue(`${where}.volumes`, `${String(twice)} is mounted twice`);
  return mounts;
}

function add(mounts: Mounts, name: string, source: Raw, mount: Raw): void {
  const label = labelOf(name, 'volumes').slice(0, 55).replace(/-+$/, '');
  const same = mounts.volumes.find((volume) => JSON.stringify({ ...volume, name: '' }) === JSON.stringify({ name: '', ...source }));
  const taken = mounts.volumes.filter((volume) => String(volume['name']).replace(/-\d+$/, '') === label).length;
  const own = same && !('emptyDir' in source) ? same['name'] : taken === 0 ? label : `${label}-${String(taken + 1)}`;
  if (own !== same?.['name']) mounts.volumes.push({ name: own, ...source });
  mounts.volumeMounts.push({ name: own, ...mount });
}

function addVolume(mounts: Mounts, project: Project, item: unknown, where: string, files: Files, notes: Note[]): void {
  const { type, source, target, readOnly, subPath, size } = isMap(item) ? longForm(item, where) : shortForm(textOf(item, where), where);
  const mount = { mountPath: target, ...(readOnly && { readOnly }), ...(subPath !== undefined && { subPath }) };
  if (!target.startsWith('/')) throw refuseValue(where, `"${target}" is no absolute path in the container`);
  if (type === 'tmpfs') add(mounts, 'tmpfs', { emptyDir: { medium: 'Memory', ...(size !== undefined && { sizeLimit: size }) } }, mount);
  else if (source === undefined) add(mounts, 'scratch', { emptyDir: {} }, mount);
  else if (type === 'bind') {
    const path = resolve(project.folder, source.replace(/^~(?=\/|$)/, homedir()));
    add(mounts, `host ${source.replaceAll(/[^a-zA-Z0-9]+/g, ' ').trim()}`, { hostPath: { path, type: files.isFile(path) ? 'File' : path.endsWith('.sock') ? 'Socket' : 'DirectoryOrCreate' } }, mount);
    notes.push({ where, what: `${path} is that of the host which the pod runs on: it must be there on each, or the pod be held to one by deploy.placement.constraints` });
  } else {
    if (!(source in mapOf(project.file['volumes'], 'volumes'))) throw refuseValue(where, `there is no "${source}" among the file's volumes`);
    mounts.claims = true;
    add(mounts, source, { persistentVolumeClaim: { claimName: claimName(project, source) } }, mount);
  }
}

interface Volume { readonly type: string; readonly source: string | undefined; readonly target: string; readonly readOnly: boolean; readonly subPath?: string; readonly size?: string }

function shortForm(text: string, where: string): Volume {
  const [first = '', second, options = '', ...more] = text.split(':');
  if (more.length > 0) throw refuseValue(where, `"${text}" has too many parts; expected SOURCE:TARGET[:ro]`);
  if (second === undefined) return { type: 'volume', source: undefined, target: first, readOnly: false };
  return { type: /^[./~]/.test(first) ? 'bind' : 'volume', source: first, target: second, readOnly: options.split(',').includes('ro') };
}

function longForm(item: Raw, where: string): Volume {
  const type = item['type'] === undefined ? 'volume' : textOf(item['type'], `${where}.type`);
  if (!['volume', 'bind', 'tmpfs'].includes(type)) throw refuseValue(`${where}.type`, `"${type}" has no counterpart; expected volume, bind or tmpfs`);
  const subPath = mapOf(item['volume'], `${where}.volume`)['subpath'];
  const size = mapOf(item['tmpfs'], `${where}.tmpfs`)['size'];
  return {
    type, source: item['source'] === undefined ? undefined : textOf(item['source'], `${where}.source`), target: textOf(item['target'], `${where}.target`), readOnly: truth(item['read_only'], `${where}.read_only`),
    ...(subPath !== undefined && { subPath: textOf(subPath, where) }), ...(size !== undefined && { size: bytesOf(size, where) }),
  };
}

function addStored(mounts: Mounts, project: Project, kind: 'secrets' | 'configs', item: unknown, where: string, notes: Note[]): void {
  const { source, target, mode, uid, gid } = isMap(item) ? item : { source: item, target: undefined, mode: undefined, uid: undefined, gid: undefined };
  const name = textOf(source, where);
  if (!(name in mapOf(project.file[kind], kind))) throw refuseValue(where, `there is no "${name}" among the file's ${kind}`);
  const wanted = target === undefined ? name : textOf(target, `${where}.target`);
  const path = wanted.startsWith('/') ? wanted : kind === 'secrets' ? `/run/secrets/${wanted}` : `/${wanted}`;
  // Octal, however YAML took it.
  const items = [{ key: name, path: name, ...(mode !== undefined && { mode: typeof mode === 'string' ? Number.parseInt(mode, 8) : integerOf(mode, `${where}.mode`) }) }];
  if (uid !== undefined || gid !== undefined) notes.push({ where, what: 'uid and gid are left out: the file belongs to root and is readable by all unless mode says otherwise' });
  const stored = storedName(project, kind, name);
  add(mounts, `${kind === 'secrets' ? 'secret' : 'config'}-${name}`, kind === 'secrets' ? { secret: { secretName: stored, items } } : { configMap: { name: stored, items } }, { mountPath: path, subPath: name, readOnly: true });
}
