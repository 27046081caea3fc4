import { chownSync, existsSync, readFileSync, realpathSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { StatusError } from '#common/errors.ts';
import { fileTrouble, yamlTrouble } from './file-trouble.ts';
import type { ParsedFlags } from './flags.ts';
import { checkedName } from './names.ts';
import { parsePlainYaml } from './plain-yaml.ts';

/** How to reach a cluster, and as whom. */
export interface Connection {
  readonly server: string;
  readonly namespace: string;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly token: string | undefined;
  readonly insecure: boolean;
  readonly serverName: string | undefined;
  /** Whom to act as. */
  readonly impersonate?: { readonly user: string; readonly groups: readonly string[] } | undefined;
  /** How long one request may take; 0 is without end. */
  readonly timeoutMs: number;
}

export type Named = Readonly<Record<string, unknown>> & { readonly name?: unknown };
export interface Config { readonly 'current-context'?: unknown; readonly clusters?: unknown; readonly contexts?: unknown; readonly users?: unknown }

export const defaultKubeconfig = '/etc/cleat/kubeconfig';

/** Source: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/ (merging: the first file to set a name wins). */
export async function readConnection(flags: ParsedFlags, env: Readonly<Record<string, string | undefined>>): Promise<Connection> {
  const paths = kubeconfigPaths(flags.string('kubeconfig'), env);
  const files = await Promise.all(paths.map(readFile));
  const pick = (list: 'clusters' | 'contexts' | 'users', name: unknown): { entry: Record<string, unknown>; folder: string } | undefined => {
    for (const { config, folder } of files) {
      const entries = config[list];
      const found = Array.isArray(entries) ? (entries as Named[]).find((entry) => entry?.name === name) : undefined;
      const entry = found?.[list.slice(0, -1)];
      if (typeof entry === 'object' && entry !== null) return { entry: entry as Record<string, unknown>, folder };
    }
    return undefined;
  };
  const wanted = flags.string('context') ?? files.map(({ config }) => config['current-context']).find((name) => typeof name === 'string' && name !== '');
  const context = pick('contexts', wanted)?.entry;
  if (!context && flags.string('context') !== undefined) throw new StatusError('BadRequest', `context "${String(wanted)}" does not exist in ${paths.join(', ')}`);
  const cluster = pick('clusters', context?.['cluster']);
  const user = pick('users', context?.['user']);
  const server = flags.string('server') ?? text(cluster?.entry['server']);
  if (server === undefined) throw new StatusError('BadRequest', `${paths.join(', ')} names no cluster to talk to; set a current-context there, or give --server`);
  if (!URL.canParse(server) || new URL(server).protocol !== 'https:') throw new StatusError('BadRequest', `"${server}" is no address of a server: expected a URL such as https://10.0.0.1:6443`);
  if (flags.has('as-group') && !flags.has('as')) throw new StatusError('BadRequest', '--as-group goes with --as: say whom to act as');
  return {
    server,
    timeoutMs: flags.durationMs('request-timeout') ?? 0,
    namespace: checkedName(text(flags.string('namespace')) ?? text(context?.['namespace']) ?? 'default', 'namespace'),
    ca: material(cluster, 'certificate-authority'),
    cert: flags.has('token') ? undefined : material(user, 'client-certificate'),
    key: flags.has('token') ? undefined : material(user, 'client-key'),
    impersonate: flags.string('as') === undefined ? undefined : { user: flags.string('as') ?? '', groups: flags.list('as-group') },
    token: flags.string('token') ?? text(user?.entry['token']) ?? fileText(user, 'tokenFile')?.trim(),
    insecure: cluster?.entry['insecure-skip-tls-verify'] === true,
    serverName: text(cluster?.entry['tls-server-name']),
  };
}

/** The first kubeconfig of those that count, to be looked at or changed. */
export async function readConfigs(flag: string | undefined, env: Readonly<Record<string, string | undefined>>): Promise<{ readonly config: Config; readonly path: string }> {
  const [path = defaultKubeconfig] = kubeconfigPaths(flag, env);
  return { config: (await readFile(path)).config, path };
}

/** Puts a changed kubeconfig in place of the old one, at once and for its owner alone. */
export async function writeConfig(path: string, config: Config): Promise<void> {
  const target = realpathSync(path);
  const draft = `${target}.${String(process.pid)}`;
  const { formatYaml } = await import('./yaml.ts');
  try {
    const { mode, uid, gid } = statSync(target);
    writeFileSync(draft, formatYaml({ apiVersion: 'v1', kind: 'Config', ...config }), { mode: mode & 0o600 });
    if (process.getuid?.() === 0) chownSync(draft, uid, gid);
    renameSync(draft, target);
  } catch (error) {
    throw new StatusError('BadRequest', `cannot write the kubeconfig ${path}: ${fileTrouble(error)}`, { cause: error });
  }
}

function kubeconfigPaths(flag: string | undefined, env: Readonly<Record<string, string | undefined>>): readonly string[] {
  if (flag !== undefined) return [flag];
  const listed = (env['KUBECONFIG'] ?? '').split(':').filter((path) => path !== '');
  const present = listed.filter((path) => existsSync(path));
  if (listed.length > 0) {
    if (present.length === 0) throw new StatusError('BadRequest', `KUBECONFIG names ${listed.join(', ')}, which is not there. Unset KUBECONFIG to use ${defaultKubeconfig}.`);
    return present;
  }
  const home = join(homedir(), '.kube/config');
  const found = [defaultKubeconfig, home].find((path) => existsSync(path));
  if (found === undefined) throw new StatusError('BadRequest', `no kubeconfig: neither ${defaultKubeconfig} nor ${home} is there. Start a cluster with 'cleat up', or copy the kubeconfig of one here and name it with --kubeconfig or KUBECONFIG.`);
  return [found];
}

async function readFile(path: string): Promise<{ config: Config; folder: string }> {
  let content: string;
  try {
    content = readFileSync(path, 'utf8');
  } catch (error) {
    const why: Readonly<Record<string, string>> = {
      ENOENT: "it is not there. Check --kubeconfig; 'cleat up' writes one",
      EACCES: 'permission denied. It belongs to root: use sudo, or copy it to a file of your own and set KUBECONFIG',
    };
    throw new StatusError('BadRequest', `cannot read the kubeconfig ${path}: ${why[(error as NodeJS.ErrnoException).code ?? ''] ?? fileTrouble(error)}`, { cause: error });
  }
  try {
    const config: unknown = content.trimStart().startsWith('{') ? JSON.parse(content) : parsePlainYaml(content) ?? (await import('yaml')).parse(content);
    if (typeof config !== 'object' || config === null || Array.isArray(config)) throw new Error('it is not a map');
    return { config, folder: dirname(resolve(path)) };
  } catch (error) {
    throw new StatusError('BadRequest', `the kubeconfig ${path} cannot be understood: ${yamlTrouble(error)}. Copy it anew from the control plane, or name another with --kubeconfig.`, { cause: error });
  }
}

/** Inline base64 (`<name>-data`), else the file that `name` gives, relative to the kubeconfig. */
function material(from: { entry: Record<string, unknown>; folder: string } | undefined, name: string): string | undefined {
  const inline = text(from?.entry[`${name}-data`]);
  return inline === undefined ? fileText(from, name) : Buffer.from(inline, 'base64').toString('utf8');
}

function fileText(from: { entry: Record<string, unknown>; folder: string } | undefined, name: string): string | undefined {
  const path = text(from?.entry[name]);
  if (from === undefined || path === undefined) return undefined;
  try {
    return readFileSync(resolve(from.folder, path), 'utf8');
  } catch (error) {
    throw new StatusError('BadRequest', `cannot read ${name} ${path} of the kubeconfig: ${fileTrouble(error)}`, { cause: error });
  }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
