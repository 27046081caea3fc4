import { readFile } from 'node:fs/promises';
import { isRecord } from '#api/meta/json.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { authOf, type Keyring } from './credentials.ts';
import type { RegistryAuth } from '#agent/runtimes/types.ts';

/** How one registry, or one mirror, is spoken to. */
export interface RegistryAccess {
  readonly auth?: RegistryAuth;
  /** Absolute paths. */
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  /** Certificates are not checked. */
  readonly insecure: boolean;
}

/** What the administrator of this host says of registries. */
export interface Registries {
  /** By the registry's name in images, or `*` for every other: what is asked before it, URLs in order. */
  readonly mirrors: ReadonlyMap<string, readonly string[]>;
  /** By host, or host and port. */
  readonly access: ReadonlyMap<string, RegistryAccess>;
}

export const noRegistries: Registries = { mirrors: new Map(), access: new Map() };

/** The file at `path`; without one, nothing is said. Rejects with a sentence that names what is wrong in it. */
export async function loadRegistries(path: string): Promise<Registries> {
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return noRegistries;
    throw new StatusError('Invalid', `cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
  const { parse } = await import('yaml');
  try {
    return parseRegistries(parse(content));
  } catch (error) {
    throw new StatusError('Invalid', `${path}: ${messageOf(error)}; see docs/images.md`, { cause: error });
  }
}

/** `value`: the file as parsed. Throws a sentence. */
export function parseRegistries(value: unknown): Registries {
  const file = record(value ?? {}, 'the file', ['mirrors', 'configs']);
  const mirrors = Object.entries(record(file['mirrors'] ?? {}, 'mirrors')).map(([registry, mirror]) => {
    const { endpoint } = record(mirror ?? {}, `mirrors.${registry}`, ['endpoint']);
    if (!Array.isArray(endpoint) || !endpoint.every((url): url is string => typeof url === 'string')) throw new Error(`mirrors.${registry}.endpoint must be a list of URLs`);
    return [hostName(registry, 'mirrors'), endpoint.map((url) => mirrorUrl(url, registry))] as const;
  });
  const access = Object.entries(record(file['configs'] ?? {}, 'configs')).map(([host, config]) => [hostName(host, 'configs'), accessOf(config, `configs.${host}`)] as const);
  return { mirrors: new Map(mirrors), access: new Map(access) };
}

/** The credentials of the file, for images of those registries. */
export function nodeKeyring({ access }: Registries): Keyring {
  return [...access].flatMap(([host, { auth }]) => (auth ? [[host === 'docker.io' ? 'index.docker.io' : host, auth] as const] : []));
}

function accessOf(config: unknown, where: string): RegistryAccess {
  const { auth, tls } = record(config ?? {}, where, ['auth', 'tls']);
  const known = auth === undefined ? undefined : authOf(record(auth, `${where}.auth`, ['username', 'password', 'auth', 'identity_token']));
  if (auth !== undefined && !known) throw new Error(`${where}.auth needs a username and a password`);
  const files = record(tls ?? {}, `${where}.tls`, ['ca_file', 'cert_file', 'key_file', 'insecure_skip_verify']);
  const path = (key: string): string | undefined => {
    const name = files[key];
    if (name === undefined) return undefined;
    if (typeof name !== 'string' || !name.startsWith('/')) throw new Error(`${where}.tls.${key} must be the absolute path of a file`);
    return name;
  };
  const [caFile, certFile, keyFile] = [path('ca_file'), path('cert_file'), path('key_file')];
  if ((certFile === undefined) !== (keyFile === undefined)) throw new Error(`${where}.tls needs both of cert_file and key_file`);
  return {
    ...(known && { auth: known }), insecure: files['insecure_skip_verify'] === true,
    ...(caFile !== undefined && { caFile }), ...(certFile !== undefined && { certFile }), ...(keyFile !== undefined && { keyFile }),
  };
}

/** It becomes the name of a folder. */
function hostName(text: string, where: string): string {
  if (text !== '*' && !/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?$/i.test(text)) throw new Error(`${where} has ${JSON.stringify(text)}, which is no registry's name; expected HOST, HOST:PORT or *`);
  return text;
}

function mirrorUrl(text: string, registry: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.username !== '' || url.search !== '') throw new Error(`mirrors.${registry}.endpoint has ${JSON.stringify(text)}; expected a URL such as https://mirror.example.com:5000`);
  return text.replace(/\/+$/, '');
}

function record(value: unknown, where: string, keys?: readonly string[]): Readonly<Record<string, unknown>> {
  if (!isRecord(value)) throw new Error(`${where} must be a map`);
  const unknown = keys && Object.keys(value).find((key) => !keys.includes(key));
  if (unknown !== undefined) throw new Error(`${where} has ${JSON.stringify(unknown)}, which is not known; expected ${keys?.join(', ') ?? ''}`);
  return value;
}
