import { createHash } from 'node:crypto';
import { isUtf8 } from 'node:buffer';
import { basename } from 'node:path';
import { isRecord, own, setOwn, type JsonRecord } from '#api/meta/json.ts';
import type { GeneratorArgs, GeneratorOptions } from './kustomization.ts';
import type { Loader } from './loader.ts';
import { refuse, within } from './refuse.ts';
import { Resource, textOf } from './resource.ts';

/** Long base64 stands in lines of this length. */
const base64Line = 70;

/** Makes the ConfigMap or Secret that a generator describes; its name gets a hash in the end. */
export async function generate(kind: 'ConfigMap' | 'Secret', args: GeneratorArgs, shared: GeneratorOptions, loader: Loader): Promise<Resource> {
  const { name = '', namespace = '', behavior = '' } = args;
  if (name === '') throw refuse('a configmap must have a name');
  const options = joinOptions(args.options ?? {}, shared);
  const data = await load(args, name, loader);
  const resource = new Resource({ apiVersion: 'v1', kind, metadata: { name, ...(namespace !== '' && { namespace }) }, ...(kind === 'Secret' && { type: args.type || 'Opaque' }) });
  if (kind === 'Secret') {
    for (const [key, bytes] of data) put(resource.fields, 'data', key, base64(bytes));
  } else {
    for (const [key, bytes] of data) put(resource.fields, isUtf8(bytes) ? 'data' : 'binaryData', key, isUtf8(bytes) ? bytes.toString('utf8') : base64(bytes));
  }
  resource.setMeta('labels', options.labels ?? {});
  resource.setMeta('annotations', options.annotations ?? {});
  if (options.immutable === true) resource.fields['immutable'] = true;
  resource.hashed = options.disableNameSuffixHash !== true;
  resource.behavior = behavior === 'merge' || behavior === 'replace' ? behavior : 'create';
  return resource;
}

function put(fields: JsonRecord, field: string, key: string, value: string): void {
  const map = own(fields, field);
  if (isRecord(map)) setOwn(map, key, value);
  else fields[field] = { [key]: value };
}

/** What all generators share fills in what one does not say itself; it alone can turn things on. */
function joinOptions(own: GeneratorOptions, shared: GeneratorOptions): GeneratorOptions {
  return {
    labels: { ...shared.labels, ...own.labels }, annotations: { ...shared.annotations, ...own.annotations },
    disableNameSuffixHash: own.disableNameSuffixHash === true || shared.disableNameSuffixHash === true,
    immutable: own.immutable === true || shared.immutable === true,
  };
}

async function load({ envs = [], env = '', literals = [], files = [] }: GeneratorArgs, name: string, loader: Loader): Promise<ReadonlyMap<string, Buffer>> {
  const sources = [...envs, ...(env === '' ? [] : [env])];
  const pairs = [
    ...await named(`env source files: [${sources.join(' ')}]`, async () => (await Promise.all(sources.map(async (path) => envPairs(await loader.read(path))))).flat()),
    ...await named(`literal sources [${literals.join(' ')}]`, () => literals.map(literalPair)),
    ...await named(`file sources: [${files.join(' ')}]`, async () => Promise.all(files.map(async (source) => filePair(source, loader)))),
  ];
  const data = new Map<string, Buffer>();
  for (const [key, value] of pairs) {
    if (data.has(key)) throw refuse(`configmap ${name} illegally repeats the key \`${key}\``);
    data.set(key, value);
  }
  return data;
}

type Pair = readonly [string, Buffer];

async function named(what: string, read: () => Pair[] | Promise<Pair[]>): Promise<Pair[]> {
  try {
    return await read();
  } catch (error) {
    throw within(`loading KV pairs: ${what}`, error);
  }
}

function literalPair(source: string): Pair {
  const at = source.indexOf('=');
  if (at <= 0) throw refuse(`invalid literal source ${source}, expected key=value`);
  const value = source.slice(at + 1);
  const quoted = /^(["'])[^]*\1$/.test(value) && value.length > 1;
  return [source.slice(0, at), Buffer.from(quoted ? value.slice(1, -1) : value)];
}

async function filePair(source: string, loader: Loader): Promise<Pair> {
  const parts = source.split('=');
  const [name = '', path = ''] = parts;
  if (parts.length === 1) return [basename(source), await loader.read(source)];
  if (parts.length > 2) throw refuse('key names or file paths cannot contain \'=\'');
  if (name === '') throw refuse(`missing key name for file path "${path}" in source "${source}"`);
  if (path === '') throw refuse(`missing file path for key name "${name}" in source "${source}"`);
  return [name, await loader.read(path)];
}

function envPairs(content: Buffer): Pair[] {
  if (!isUtf8(content)) throw refuse('the file has invalid utf8 bytes');
  return content.toString('utf8').replace(/^\ufeff/, '').split('\n').flatMap((line): Pair[] => {
    const text = line.replace(/\r$/, '').trimStart();
    if (text === '' || text.startsWith('#')) return [];
    const at = text.indexOf('=');
    return [[at < 0 ? text : text.slice(0, at), Buffer.from(at < 0 ? '' : text.slice(at + 1))]];
  });
}

function base64(bytes: Buffer): string {
  const text = bytes.toString('base64');
  return text.length < base64Line ? text : text.replace(new RegExp(`.{1,${String(base64Line)}}`, 'g'), '$&\n');
}

/** What kustomize puts behind the names of generated objects: ten letters of a hash of kind and data. It means to hash the name, too, but never finds it. */
export function contentHash(resource: Resource): string {
  const { fields } = resource;
  const kind = textOf(own(fields, 'kind'));
  const value = (field: string): unknown => own(fields, field) ?? '';
  const encoded = kind === 'Secret'
    ? { data: value('data'), kind, name: '', ...(own(fields, 'stringData') !== undefined && { stringData: value('stringData') }), type: value('type') }
    : { ...(own(fields, 'binaryData') !== undefined && { binaryData: value('binaryData') }), data: value('data'), kind, name: '' };
  const hex = createHash('sha256').update(goJson(encoded)).digest('hex').slice(0, 10);
  return hex.replaceAll('0', 'g').replaceAll('1', 'h').replaceAll('3', 'k').replaceAll('a', 'm').replaceAll('e', 't');
}

/** As Go writes JSON: keys in order of their bytes, and what means something to HTML escaped. */
function goJson(value: unknown): string {
  if (isRecord(value)) return `{${Object.keys(value).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))).map((name) => `${goJson(name)}:${goJson(value[name])}`).join(',')}}`;
  const short: Readonly<Record<string, string>> = { '\b': '\\b', '\f': '\\f' };
  return JSON.stringify(value ?? null).replace(/[<>&\u2028\u2029]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`).replace(/\\[bf]/g, (escape) => short[escape] ?? escape);
}
