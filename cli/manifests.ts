import { isUtf8 } from 'node:buffer';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { messageOf, StatusError } from '#common/errors.ts';
import { fileTrouble } from './file-trouble.ts';

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name?: string; readonly generateName?: string; readonly namespace?: string; readonly annotations?: Readonly<Record<string, string>> } & Readonly<Record<string, unknown>>;
  readonly [field: string]: unknown;
}

/** A manifest and the file that it is from, for messages. */
export interface Read { readonly manifest: Manifest; readonly source: string }

const maxBytes = 64 << 20;
const urlTimeoutMs = 30_000;

/** Objects of the files, folders (`*.yaml`, `*.yml`, `*.json`), URLs and `-` (standard input) named; Lists are opened. */
export async function readManifests(paths: readonly string[], recursive: boolean, stdin: Readable): Promise<Read[]> {
  if (paths.length === 0) throw new StatusError('BadRequest', 'must specify -f: a file, a folder, a URL, or - for standard input');
  const read: Read[] = [];
  const add = async (text: string, source: string): Promise<void> => {
    for (const manifest of await parseManifests(text, source)) read.push({ manifest, source });
  };
  for (const path of paths) {
    if (path === '-') await add((await readBytes(stdin, 'standard input')).toString('utf8'), 'standard input');
    else if (/^https?:\/\//.test(path)) await add((await readUrl(path)).toString('utf8'), path);
    else for (const file of filesOf(path, recursive)) await add(readFile(file), file);
  }
  if (read.length === 0) throw new StatusError('BadRequest', `no objects found in ${paths.join(', ')}; of a folder, files named *.yaml, *.yml and *.json count`);
  return read;
}

/** `source` names the text in errors. */
export async function parseManifests(text: string, source: string): Promise<Manifest[]> {
  if (/^\s*[{[]/.test(text)) {
    try {
      return open(JSON.parse(text), source);
    } catch (error) {
      if (error instanceof StatusError) throw error;
      throw new StatusError('BadRequest', `error parsing ${source}: ${messageOf(error)}`);
    }
  }
  const { parseYaml } = await import('./yaml.ts');
  return parseYaml(text, source).flatMap((value) => open(value, source));
}

function open(value: unknown, source: string): Manifest[] {
  if (value === null || value === undefined) return [];
  const object = value as Partial<Manifest> & { items?: unknown };
  if (typeof value !== 'object' || Array.isArray(value)) throw new StatusError('BadRequest', `${source} does not hold Kubernetes objects: expected a map with apiVersion, kind and metadata`);
  if (typeof object.kind === 'string' && object.kind.endsWith('List') && Array.isArray(object.items)) return object.items.flatMap((item) => open(item, source));
  if (object.kind === 'List') throw new StatusError('BadRequest', `error validating ${JSON.stringify(source)}: error validating data: items of the List is no list`);
  for (const field of ['apiVersion', 'kind'] as const) {
    const given: unknown = object[field] ?? '';
    if (typeof given !== 'string') throw new StatusError('BadRequest', `error validating ${JSON.stringify(source)}: error validating data: ${field} isn't string type`);
    if (given === '') throw new StatusError('BadRequest', `error validating ${JSON.stringify(source)}: error validating data: ${field} not set`);
  }
  return [{ ...object, metadata: metadataOf(object, source) } as Manifest];
}

/** A map whose names are strings, or are not there: `name:` with nothing behind it is none. */
function metadataOf({ kind = '', metadata = {} }: { readonly kind?: unknown; readonly metadata?: unknown }, source: string): Readonly<Record<string, unknown>> {
  const refuse = (what: string): StatusError => new StatusError('BadRequest', `error validating ${JSON.stringify(source)}: error validating data: ${what} of the ${String(kind)}`);
  if (metadata === null) return {};
  if (typeof metadata !== 'object' || Array.isArray(metadata)) throw refuse('expected a map as metadata');
  const found = { ...metadata as Readonly<Record<string, unknown>> };
  for (const field of ['name', 'generateName', 'namespace']) {
    if (found[field] === null) delete found[field];
    else if (found[field] !== undefined && typeof found[field] !== 'string') throw refuse(`expected a string, such as ${JSON.stringify(String(found[field]))} in quotes, as metadata.${field}`);
  }
  return found;
}

function filesOf(path: string, recursive: boolean): string[] {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) throw new StatusError('BadRequest', `the path "${path}" does not exist`);
  if (!found.isDirectory()) return [path];
  return readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1)).flatMap((entry) => {
    const child = join(path, entry.name);
    if (entry.isDirectory()) return recursive ? filesOf(child, true) : [];
    return /\.(ya?ml|json)$/.test(entry.name) ? [child] : [];
  });
}

function readFile(path: string): string {
  try {
    if (statSync(path).size > maxBytes) throw new Error(`larger than ${String(maxBytes >> 20)} MiB`);
    const bytes = readFileSync(path);
    if (!isUtf8(bytes)) throw new Error('it is no text (UTF-8), so neither YAML nor JSON');
    return bytes.toString('utf8');
  } catch (error) {
    throw new StatusError('BadRequest', `cannot read ${path}: ${fileTrouble(error)}`, { cause: error });
  }
}

/** What a URL gives. */
export async function readUrl(url: string): Promise<Buffer> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(urlTimeoutMs) }).catch((error: unknown) => {
    throw new StatusError('BadRequest', `cannot read ${url}: ${messageOf(error instanceof Error && error.cause !== undefined ? error.cause : error)}`, { cause: error });
  });
  if (!answer.ok) throw new StatusError('BadRequest', `unable to read URL "${url}", server reported ${String(answer.status)} ${answer.statusText}, status code=${String(answer.status)}`);
  return readBytes(answer.body ?? [], url);
}

async function readBytes(stream: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, source: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new StatusError('BadRequest', `${source} holds more than ${String(maxBytes >> 20)} MiB`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
