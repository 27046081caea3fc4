import { isUtf8 } from 'node:buffer';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { StatusError } from '#common/errors.ts';
import { fileTrouble } from '../file-trouble.ts';
import { refuse, type Flag, type ParsedFlags } from '../flags.ts';
import type { Manifest } from '../manifests.ts';

/** The object that words describe. `words`: those after `--`. */
type Maker = (args: readonly string[], parsed: ParsedFlags, words: readonly string[]) => Manifest;

export const makerFlags: readonly Flag[] = [
  { name: 'image', type: 'list', description: 'deployment: the image; several make several containers' },
  { name: 'replicas', short: 'r', type: 'int', default: '1', description: 'deployment: how many pods' },
  { name: 'port', type: 'int', description: 'deployment: the port that the container serves' },
  { name: 'from-literal', type: 'string', description: 'configmap, secret: KEY=VALUE' },
  { name: 'from-file', type: 'list', description: 'configmap, secret: a file or folder, [KEY=]PATH' },
  { name: 'from-env-file', type: 'list', description: 'configmap, secret: a file of KEY=VALUE lines' },
  { name: 'type', type: 'string', description: 'secret generic: its type' },
  { name: 'cert', type: 'string', description: 'secret tls: the file of the certificate' },
  { name: 'key', type: 'string', description: 'secret tls: the file of the key' },
  { name: 'docker-server', type: 'string', default: 'https://index.docker.io/v1/', description: 'secret docker-registry: the registry' },
  { name: 'docker-username', type: 'string', description: 'secret docker-registry: who' },
  { name: 'docker-password', type: 'string', description: 'secret docker-registry: the password' },
  { name: 'docker-email', type: 'string', description: 'secret docker-registry: the e-mail address' },
];

const namespace: Maker = (args) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: nameOf('namespace', args) } });
const serviceAccount: Maker = (args) => ({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: nameOf('serviceaccount', args) } });
const deployment: Maker = (args, parsed, words) => {
  const name = nameOf('deployment', args);
  const images = parsed.list('image');
  const port = parsed.int('port');
  if (images.length === 0) throw refuse('create', 'required flag(s) "image" not set');
  if (images.length > 1 && words.length > 0) throw refuse('create', 'cannot specify multiple --image options and command');
  const containers = images.map((image) => ({ name: containerName(image), image, ...(words.length > 0 && { command: [...words] }), ...(port !== undefined && { ports: [{ containerPort: port }] }) }));
  return {
    apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name, labels: { app: name } },
    spec: { replicas: parsed.int('replicas') ?? 1, selector: { matchLabels: { app: name } }, template: { metadata: { labels: { app: name } }, spec: { containers } } },
  };
};
const configMap: Maker = (args, parsed) => {
  const [data, binaryData]: [Record<string, string>, Record<string, string>] = [{}, {}];
  for (const [key, value] of entries(parsed)) {
    // Text is kept as text; what is none would not come back as it was.
    if (Buffer.from(value.toString('utf8')).equals(value)) data[key] = value.toString('utf8');
    else binaryData[key] = value.toString('base64');
  }
  const some = (name: string, values: Record<string, string>): object => (Object.keys(values).length > 0 ? { [name]: values } : {});
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: nameOf('configmap', args) }, ...some('data', data), ...some('binaryData', binaryData) };
};
const secret: Maker = ([what = '', ...args], parsed) => {
  const made = (type: string, data: Readonly<Record<string, Buffer>>): Manifest => ({
    apiVersion: 'v1', kind: 'Secret', metadata: { name: nameOf(`secret ${what}`, args) }, type, data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, value.toString('base64')])),
  });
  const wanted = (flag: string): string => parsed.string(flag) ?? (() => { throw refuse('create', `required flag(s) "${flag}" not set`); })();
  switch (what) {
    case 'generic': return made(parsed.string('type') ?? 'Opaque', Object.fromEntries(entries(parsed)));
    case 'tls': return made('kubernetes.io/tls', keyPair(wanted('cert'), wanted('key')));
    case 'docker-registry': {
      const [username, password, email] = [wanted('docker-username'), wanted('docker-password'), parsed.string('docker-email')];
      const entry = { username, password, ...(email !== undefined && { email }), auth: Buffer.from(`${username}:${password}`).toString('base64') };
      return made('kubernetes.io/dockerconfigjson', { '.dockerconfigjson': Buffer.from(JSON.stringify({ auths: { [wanted('docker-server')]: entry } })) });
    }
    default: throw refuse('create', 'say which kind of secret: generic, tls or docker-registry');
  }
};

/** A certificate and its key, which have to fit each other. */
function keyPair(cert: string, key: string): { readonly 'tls.crt': Buffer; readonly 'tls.key': Buffer } {
  const pair = { 'tls.crt': read(cert), 'tls.key': read(key) };
  const parse = <T>(file: string, what: string, work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw new StatusError('BadRequest', `${file} holds no ${what} in PEM`, { cause: error });
    }
  };
  const certificate = parse(cert, 'certificate', () => new X509Certificate(pair['tls.crt']));
  if (!certificate.checkPrivateKey(parse(key, 'private key without a passphrase', () => createPrivateKey(pair['tls.key'])))) throw new StatusError('BadRequest', `the private key in ${key} is not that of the certificate in ${cert}`);
  return pair;
}

/** What `cleat create` makes of words, by kubectl's names for it. */
export const makers: Readonly<Record<string, Maker>> = { namespace, ns: namespace, configmap: configMap, cm: configMap, secret, deployment, deploy: deployment, serviceaccount: serviceAccount, sa: serviceAccount };

function nameOf(what: string, args: readonly string[]): string {
  const [name = ''] = args;
  if (args.length !== 1 || name === '') throw refuse('create', `exactly one NAME is required for ${what}, got ${String(args.length)}`);
  return name;
}

/** `registry:5000/web/nginx:1` → `nginx`. */
function containerName(image: string): string {
  return (image.split('/').at(-1) ?? '').replace(/[:@].*$/, '').toLowerCase().replaceAll(/[^a-z0-9-]/g, '-');
}

/** Keys and values of the flags, each key once. */
function entries(parsed: ParsedFlags): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  const add = (key: string, value: Buffer): void => {
    if (!/^[-._a-zA-Z0-9]{1,253}$/.test(key)) throw new StatusError('BadRequest', `"${key}" is not a valid key name: letters, digits, '-', '_' and '.' make one`);
    if (found.has(key)) throw new StatusError('BadRequest', `cannot add key "${key}", another key by that name already exists`);
    found.set(key, value);
  };
  for (const path of parsed.list('from-file')) {
    const [, given, file = path] = /^([^=]*)=(.*)$/s.exec(path) ?? [];
    if (given === undefined && isFolder(file)) for (const name of readdirSync(file).sort()) { if (isPlain(join(file, name))) add(name, read(join(file, name))); }
    else add(given ?? basename(file), read(file));
  }
  for (const literal of parsed.all('from-literal')) {
    const equals = literal.indexOf('=');
    if (equals < 1) throw new StatusError('BadRequest', `invalid literal source ${literal}, expected key=value`);
    add(literal.slice(0, equals), Buffer.from(literal.slice(equals + 1).replace(/^(['"])([\s\S]*)\1$/, '$2')));
  }
  for (const file of parsed.list('from-env-file')) {
    const text = read(file);
    if (!isUtf8(text)) throw new StatusError('BadRequest', `${file} is no text (UTF-8), so no lines of KEY=VALUE`);
    for (const line of text.toString('utf8').split(/\r?\n/).map((text) => text.trimStart())) {
      const [, key = '', value = ''] = /^([^=]+)(?:=(.*))?$/s.exec(line) ?? [];
      if (key !== '' && !line.startsWith('#')) add(key, Buffer.from(value));
    }
  }
  return found;
}

/** Of ConfigMaps and Secrets. */
const mostBytes = 1 << 20;

function isFolder(path: string): boolean { return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true; }
function isPlain(path: string): boolean { return statSync(path).isFile(); }

function read(path: string): Buffer {
  try {
    if (statSync(path).size > mostBytes) throw new Error(`it is larger than ${String(mostBytes >> 10)} KiB, which is what an object holds in all`);
    return readFileSync(path);
  } catch (error) {
    throw new StatusError('BadRequest', `error reading ${path}: ${fileTrouble(error)}`, { cause: error });
  }
}
