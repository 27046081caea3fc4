import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isRecord } from '#api/meta/json.ts';
import { StatusError } from '#common/errors.ts';
import type { ContainerConfig } from '../types.ts';

/** Where specifications lie; those of a later folder win. Source: https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md */
export const cdiFolders = ['/etc/cdi', '/var/run/cdi'] as const;

/** A program that the OCI runtime is to run, and when. */
export interface CdiHook { readonly hookName: string; readonly path: string; readonly args?: readonly string[]; readonly env?: readonly string[]; readonly timeout?: number }

interface Edits {
  readonly env?: readonly string[];
  readonly deviceNodes?: readonly { readonly path: string; readonly hostPath?: string; readonly permissions?: string }[];
  readonly mounts?: readonly { readonly hostPath: string; readonly containerPath: string; readonly options?: readonly string[]; readonly type?: string }[];
  readonly hooks?: readonly CdiHook[];
  readonly additionalGids?: readonly number[];
}

interface Spec {
  readonly kind: string;
  readonly devices: readonly { readonly name: string; readonly containerEdits?: Edits }[];
  readonly containerEdits?: Edits;
}

const qualified = /^([a-zA-Z][\w.-]*\/[a-zA-Z][\w.-]*)=([a-zA-Z0-9][\w.:-]*)$/;

/**
 * The container with what the names of its CDI devices stand for, for engines that do not resolve them, and the hooks
 * that only an OCI runtime can run. Rejects with `NotFound` what no specification describes.
 */
export async function withCdiDevices(config: ContainerConfig, folders: readonly string[] = cdiFolders): Promise<{ readonly config: ContainerConfig; readonly hooks: readonly CdiHook[] }> {
  const { cdiDevices = [], ...own } = config;
  if (cdiDevices.length === 0) return { config: own, hooks: [] };
  const edits = await editsOf(cdiDevices, folders);
  const env = new Map(own.env.map(({ name, value }) => [name, value]));
  for (const line of edits.flatMap((edit) => edit.env ?? [])) {
    const at = line.indexOf('=');
    env.set(line.slice(0, at), line.slice(at + 1));
  }
  const mounts = edits.flatMap((edit) => edit.mounts ?? []);
  const strange = mounts.find(({ type = 'bind' }) => type !== 'bind');
  if (strange) throw new StatusError('Invalid', `CDI devices ${cdiDevices.join(', ')} want a mount of type ${strange.type ?? ''} at ${strange.containerPath}, which cannot be made here`);
  return {
    config: {
      ...own,
      env: [...env].map(([name, value]) => ({ name, value })),
      devices: [...own.devices ?? [], ...edits.flatMap((edit) => edit.deviceNodes ?? []).map(({ path, hostPath = path, permissions = 'rwm' }) => ({ hostPath, containerPath: path, permissions }))],
      mounts: [...own.mounts, ...mounts.map(({ hostPath, containerPath, options = [] }) => ({
        hostPath, containerPath, readOnly: options.includes('ro'),
        propagation: options.some((option) => /^r?shared$/.test(option)) ? 'Bidirectional' as const : options.some((option) => /^r?slave$/.test(option)) ? 'HostToContainer' as const : 'None' as const,
      }))],
      security: { ...own.security, supplementalGroups: [...new Set([...own.security.supplementalGroups, ...edits.flatMap((edit) => edit.additionalGids ?? [])])] },
    },
    hooks: edits.flatMap((edit) => edit.hooks ?? []),
  };
}

/** For engines that run no hooks of ours. */
export async function withoutHooks(config: ContainerConfig, engine: string, folders?: readonly string[]): Promise<ContainerConfig> {
  const resolved = await withCdiDevices(config, folders);
  if (resolved.hooks.length > 0) throw new StatusError('Invalid', `CDI devices ${config.cdiDevices?.join(', ') ?? ''} need the hook ${resolved.hooks[0]?.path ?? ''}, which ${engine} cannot run for them; use a containerd from 1.7 on with enable_cdi = true, a Docker from 25 on with its feature cdi, or --runtime ctr`);
  return resolved.config;
}

/** Each device's own, and once for each specification what is common to its devices, which comes first. */
async function editsOf(names: readonly string[], folders: readonly string[]): Promise<Edits[]> {
  const problems: string[] = [];
  const specs = await specsIn(folders, problems);
  const common = new Set<Edits>();
  const own: Edits[] = [];
  for (const name of names) {
    const [, kind, device] = qualified.exec(name) ?? [];
    if (kind === undefined) throw new StatusError('Invalid', `"${name}" is no name of a CDI device: expected vendor.com/class=name`);
    // The last folder that has it wins.
    const spec = specs.findLast((candidate) => candidate.kind === kind && candidate.devices.some((known) => known.name === device));
    if (!spec) throw new StatusError('NotFound', `unresolvable CDI devices ${name}: no specification in ${folders.join(' or ')} describes it${problems.length > 0 ? ` (${problems.join('; ')})` : ''}`);
    if (spec.containerEdits) common.add(spec.containerEdits);
    const found = spec.devices.find((known) => known.name === device)?.containerEdits;
    if (found) own.push(found);
  }
  return [...common, ...own];
}

async function specsIn(folders: readonly string[], problems: string[]): Promise<Spec[]> {
  const specs: Spec[] = [];
  for (const folder of folders) {
    const names = await readdir(folder).catch(() => []);
    for (const name of names.filter((file) => /\.(json|ya?ml)$/.test(file)).sort()) {
      const path = join(folder, name);
      try {
        specs.push(specOf(await parse(path)));
      } catch (error) {
        problems.push(`${path}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
  return specs;
}

async function parse(path: string): Promise<unknown> {
  const text = await readFile(path, 'utf8');
  // Only where somebody writes them so.
  return path.endsWith('.json') ? JSON.parse(text) : (await import('yaml')).parse(text);
}

function specOf(value: unknown): Spec {
  if (!isRecord(value) || typeof value['kind'] !== 'string' || !Array.isArray(value['devices'])) throw new TypeError('no CDI specification: it needs a kind and devices');
  return value as unknown as Spec;
}
