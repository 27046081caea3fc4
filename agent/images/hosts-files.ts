import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '#common/atomic-file.ts';
import type { Registries, RegistryAccess } from './registries.ts';

/** Where images without a registry in their name come from. */
const hub = { name: 'docker.io', server: 'https://registry-1.docker.io' } as const;

/**
 * Brings a folder in containerd's form (`HOST/hosts.toml`) in line with what is said of registries. containerd reads it
 * at every pull. The folder is ours alone: other files in it go. Source: https://github.com/containerd/containerd/blob/main/docs/hosts.md
 */
export async function writeHostsFiles(folder: string, registries: Registries): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const names = new Set([...registries.mirrors.keys(), ...registries.access.keys()].map((name) => (name === '*' ? '_default' : name)));
  for (const name of await readdir(folder)) if (!names.has(name)) await rm(join(folder, name), { recursive: true, force: true });
  for (const name of names) {
    const path = join(folder, name, 'hosts.toml');
    const text = hostsFile(name, registries);
    // There may be passwords in it.
    if (await readFile(path, 'utf8').catch(() => '') !== text) await writeFileAtomic(path, text, 0o600);
  }
}

/** The file of one registry; `_default` is for those that have none. */
export function hostsFile(name: string, { mirrors, access }: Registries): string {
  const endpoints = mirrors.get(name === '_default' ? '*' : name) ?? [];
  const own = access.get(name);
  const server = serverOf(name, own);
  return [
    '# Written by Cleat at every start; changes are lost.',
    ...(server === undefined ? [] : [`server = ${JSON.stringify(server)}`]),
    ...endpoints.flatMap((url) => hostLines(url, access.get(new URL(url).host), true)),
    // The registry itself comes last. Its credentials go with each pull, as those of pods do.
    ...(server !== undefined && own ? hostLines(server, { ...own, auth: undefined }, false) : []), '',
  ].join('\n');
}

/** Loopback registries speak plain HTTP unless something is said of their certificates, as everywhere. */
function serverOf(name: string, own: RegistryAccess | undefined): string | undefined {
  if (name === '_default') return undefined;
  if (name === hub.name) return hub.server;
  const isLocal = /^(localhost|127\.[\d.]+)(:|$)/.test(name);
  const plain = isLocal && own?.caFile === undefined && own?.insecure !== true;
  return `${plain ? 'http' : 'https'}://${name}`;
}

type HostAccess = Omit<RegistryAccess, 'auth'> & { readonly auth?: RegistryAccess['auth'] | undefined };

function hostLines(url: string, access: HostAccess | undefined, isMirror: boolean): string[] {
  const q = (text: string): string => JSON.stringify(text);
  const { caFile, certFile, keyFile, insecure, auth } = access ?? { insecure: false };
  const withPath = new URL(url).pathname !== '/';
  return [
    '', `[host.${q(url)}]`, `  capabilities = ["pull", "resolve"]`,
    ...(caFile === undefined ? [] : [`  ca = ${q(caFile)}`]),
    ...(certFile === undefined ? [] : [`  client = [[${q(certFile)}, ${q(keyFile ?? '')}]]`]),
    ...(insecure ? ['  skip_verify = true'] : []),
    ...(isMirror && withPath ? ['  override_path = true'] : []),
    ...(isMirror && auth ? [`  [host.${q(url)}.header]`, `    Authorization = ${q(`Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}`)}`] : []),
  ];
}
