import type { Pod, Secret } from '#api/gen/types.ts';
import { isRecord } from '#api/meta/json.ts';
import type { RegistryAuth } from '#agent/runtimes/types.ts';

/** Credentials by the key that a Docker configuration has them under: a host, or a host and the beginning of a path. */
export type Keyring = readonly (readonly [key: string, auth: RegistryAuth])[];

/** What Docker Hub is called in Docker's own configuration. */
const hubKey = 'index.docker.io';

/** Those of the pod's imagePullSecrets. Secrets that are missing or cannot be read are passed over. */
export function podKeyring(pod: Pod, secretOf: (namespace: string, name: string) => Secret | undefined): Keyring {
  return (pod.spec?.imagePullSecrets ?? []).flatMap(({ name = '' }) => {
    const data = secretOf(pod.metadata?.namespace ?? '', name)?.data ?? {};
    const whole = parse(data['.dockerconfigjson']);
    return whole ? entriesOf(whole['auths']) : entriesOf(parse(data['.dockercfg']));
  });
}

/** Names of the pod's imagePullSecrets that are not there. */
export function missingPullSecrets(pod: Pod, secretOf: (namespace: string, name: string) => Secret | undefined): string[] {
  return (pod.spec?.imagePullSecrets ?? []).flatMap(({ name = '' }) => (name === '' || secretOf(pod.metadata?.namespace ?? '', name) ? [] : [name]));
}

/**
 * What to try for an image, the most fitting first, as kubelet matches: `*.example.com` stands for one part of a host
 * name, a port must be the same, and the key's path must begin the image's.
 * Source: https://kubernetes.io/docs/concepts/containers/images/#config-json
 */
export function authsFor(image: string, keyring: Keyring): RegistryAuth[] {
  const sorted = keyring.toSorted(([a], [b]) => (a < b ? 1 : a > b ? -1 : 0));
  const found = sorted.filter(([key]) => matches(key, image));
  if (found.length > 0) return found.map(([, auth]) => auth);
  return isHub(image) ? sorted.filter(([key]) => key === hubKey).map(([, auth]) => auth) : [];
}

function matches(key: string, image: string): boolean {
  const [host, path] = split(key);
  const [imageHost, imagePath] = split(image);
  const [name, port] = portOf(host);
  const [imageName, imagePort] = portOf(imageHost);
  const parts = name.split('.');
  const imageParts = imageName.split('.');
  return port === imagePort && imagePath.startsWith(path) && parts.length === imageParts.length && parts.every((part, i) => globMatches(part, imageParts[i] ?? ''));
}

function split(text: string): [string, string] {
  const slash = text.indexOf('/');
  return slash < 0 ? [text, ''] : [text.slice(0, slash), text.slice(slash)];
}

function portOf(host: string): [string, string] {
  const [, name = host, port = ''] = /^(.*?)(?::(\d+))?$/.exec(host) ?? [];
  return [name, port];
}

/** A pattern of one part: `*` for any letters, `?` for one. Without backtracking, whatever it is. */
function globMatches(pattern: string, text: string): boolean {
  let [p, t, star, mark] = [0, 0, -1, 0];
  while (t < text.length) {
    if (pattern[p] === '*') [star, mark, p] = [p, t, p + 1];
    else if (pattern[p] === '?' || pattern[p] === text[t]) { p++; t++; }
    else if (star >= 0) [p, t, mark] = [star + 1, mark + 1, mark + 1];
    else return false;
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

function isHub(image: string): boolean {
  const slash = image.indexOf('/');
  const first = image.slice(0, slash);
  return slash < 0 || first === 'docker.io' || first === hubKey || !/[.:]/.test(first);
}

function parse(base64: string | undefined): Record<string, unknown> | undefined {
  if (base64 === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(base64, 'base64').toString('utf8'));
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function entriesOf(auths: unknown): [string, RegistryAuth][] {
  if (!isRecord(auths)) return [];
  return Object.entries(auths).flatMap(([server, entry]): [string, RegistryAuth][] => {
    const auth = isRecord(entry) ? authOf(entry) : undefined;
    return auth ? [[keyOf(server), auth]] : [];
  });
}

/** Without the scheme, and without the `/v1/` or `/v2/` that Docker's tools write behind a host. */
function keyOf(server: string): string {
  const [host, path] = split(server.replace(/^https?:\/\//, ''));
  const own = path.replace(/^\/v[12]\//, '/').replace(/^\/v[12]$/, '').replace(/^\/$/, '');
  return host + own;
}

/** Of one registry, in the form that Docker's configuration has; undefined when there is nothing in it. */
export function authOf(entry: Readonly<Record<string, unknown>>): RegistryAuth | undefined {
  const text = (key: string): string => (typeof entry[key] === 'string' ? entry[key] : '');
  const pair = Buffer.from(text('auth'), 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  const [username, password] = colon < 0 ? [text('username'), text('password')] : [pair.slice(0, colon), pair.slice(colon + 1).replace(/\0+$/, '')];
  const identityToken = text('identitytoken') || text('identity_token');
  return username === '' && identityToken === '' ? undefined : { username, password, ...(identityToken !== '' && { identityToken }) };
}
