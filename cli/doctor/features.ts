import { readFile, stat } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { exec } from '#common/exec.ts';
import { features } from './checks/kernel.ts';
import type { FeatureState, HostReadings } from './types.ts';

/** What the kernel calls the same things in its configuration. */
const options: Readonly<Record<string, string>> = {
  veth: 'CONFIG_VETH', nf_conntrack: 'CONFIG_NF_CONNTRACK', nf_tables: 'CONFIG_NF_TABLES', overlay: 'CONFIG_OVERLAY_FS', wireguard: 'CONFIG_WIREGUARD', vxlan: 'CONFIG_VXLAN',
};

/** Which features the kernel has, by what it has loaded, can load and was built with. Needs no root. */
export async function readFeatures(modprobe: string | undefined): Promise<Pick<HostReadings, 'features' | 'modulesThere'>> {
  const dir = (await Promise.all(['/lib/modules', '/usr/lib/modules'].map(async (base) => (await exists(base) ? [base] : [])))).flat()[0];
  const own = dir === undefined ? undefined : join(dir, release());
  const index = own === undefined ? undefined : await text(join(own, 'modules.dep'));
  const builtin = own === undefined ? undefined : await text(join(own, 'modules.builtin'));
  const config = await kernelConfig();
  const filesystems = await text('/proc/filesystems') ?? '';
  const loadable = await text('/proc/sys/kernel/modules_disabled') !== '1' && await exists('/proc/modules');
  const states = await Promise.all(features.map(async ({ module }): Promise<[string, FeatureState]> => {
    const file = new RegExp(`/${module}\\.ko`, 'm');
    if (await exists(join('/sys/module', module)) || file.test(builtin ?? '') || new RegExp(`\\b${module}$`, 'm').test(filesystems)) return [module, 'ready'];
    const built = config === undefined ? undefined : new RegExp(`^${options[module] ?? ''}=([ym])$`, 'm').exec(config)?.[1] ?? 'n';
    if (built === 'y') return [module, 'ready'];
    if (built === 'n') return [module, 'missing'];
    if (index !== undefined) return [module, file.test(index) && loadable && await wouldLoad(modprobe, module) ? 'loadable' : 'missing'];
    // A module by its configuration, and no folder to load it from.
    return [module, built === 'm' ? 'missing' : 'unknown'];
  }));
  const modular = await text('/proc/modules') !== undefined && (await text('/proc/modules')) !== '';
  // Without any module loaded the kernel may well have none; with some, their folder must be there.
  return { features: Object.fromEntries(states), modulesThere: modular ? index !== undefined : undefined };
}

/** False for one that modprobe's settings keep out. */
async function wouldLoad(modprobe: string | undefined, module: string): Promise<boolean> {
  if (modprobe === undefined) return true;
  const tried = await exec(modprobe, ['-n', '-v', module], { timeoutMs: 5000 }).catch(() => undefined);
  return tried === undefined || (tried.exitCode === 0 && !/^install .*\/(true|false)\b/m.test(tried.stdout));
}

async function kernelConfig(): Promise<string | undefined> {
  const packed = await readFile('/proc/config.gz').catch(() => undefined);
  if (packed) return (await promisify(gunzip)(packed)).toString('utf8');
  return text(join('/boot', `config-${release()}`));
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(() => true, () => false);
}

async function text(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').then((content) => content.trim(), () => undefined);
}
