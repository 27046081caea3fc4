import { readFileSync } from 'node:fs';
import { StatusError } from '#common/errors.ts';

/**
 * Reads `application/vnd.kubernetes.protobuf` bodies, which newer kubectl and Go clients send, into the JSON
 * they stand for. Answers stay JSON: such clients accept both. Loaded when the first such body arrives.
 * Source: Kubernetes API concepts, "Protobuf encoding idiosyncrasies"; field numbers in `fields.json`.
 */
type Json = Record<string, unknown>;
type Fields = Readonly<Record<string, string>>;

const messages = JSON.parse(readFileSync(new URL('fields.json', import.meta.url), 'utf8')) as Readonly<Record<string, Fields>>;

/** The package of a group version in `fields.json`. */
function packageOf(apiVersion: string): string {
  const [group = '', version] = apiVersion.includes('/') ? apiVersion.split('/') : ['core', apiVersion];
  return `${group.split('.')[0] ?? ''}.${version ?? ''}`;
}

const maxDepth = 60;
const text = new TextDecoder('utf-8', { fatal: true });

/** The object in a protobuf body. Throws BadRequest for broken bytes, UnsupportedMediaType for kinds that are not known in this form. */
export function decodeProtobuf(body: Uint8Array): Json {
  if (Buffer.from(body.subarray(0, 4)).toString('latin1') !== 'k8s\0') throw broken('it does not begin with k8s\\0');
  let apiVersion = '';
  let kind = '';
  let raw: Uint8Array = new Uint8Array();
  for (const { number, bytes } of fieldsOf(body.subarray(4))) {
    if (number === 1) {
      for (const part of fieldsOf(bytes)) {
        if (part.number === 1) apiVersion = utf8(part.bytes);
        if (part.number === 2) kind = utf8(part.bytes);
      }
    } else if (number === 2) raw = bytes;
  }
  const own = `${packageOf(apiVersion)}.${kind}`;
  const name = messages[own] ? own : `meta.v1.${kind}`;
  if (!messages[name]) throw new StatusError('UnsupportedMediaType', `${kind || 'this object'} of ${apiVersion || 'no API version'} is not read from protobuf; send application/json`);
  return { apiVersion, kind, ...message(name, raw, 0) };
}

interface Field { readonly number: number; readonly wire: number; readonly value: bigint; readonly bytes: Uint8Array }

const none = new Uint8Array();

function* fieldsOf(bytes: Uint8Array): Generator<Field> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) throw broken('it ends in the middle of a field');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw broken('a number in it is too long');
  };
  const take = (length: number): number => {
    if (at + length > bytes.length) throw broken('it ends in the middle of a field');
    at += length;
    return at - length;
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const [number, wire] = [Math.floor(tag / 8), tag % 8];
    if (wire === 0) yield { number, wire, value: varint(), bytes: none };
    else if (wire === 1) yield { number, wire, value: view.getBigUint64(take(8), true), bytes: none };
    else if (wire === 5) yield { number, wire, value: BigInt(view.getUint32(take(4), true)), bytes: none };
    else if (wire === 2) {
      const length = Number(varint());
      const start = take(length);
      yield { number, wire, value: 0n, bytes: bytes.subarray(start, start + length) };
    } else throw broken(`wire type ${String(wire)} is not used by Kubernetes`);
  }
}

function message(name: string, bytes: Uint8Array, depth: number): Json {
  if (depth > maxDepth) throw broken('it nests too deeply');
  const known = messages[name] ?? {};
  const out: Json = {};
  for (const field of fieldsOf(bytes)) {
    const row = known[String(field.number)];
    if (row === undefined) continue;
    const [key = '', spec = ''] = row.split(' ');
    const mark = '%*<!'.includes(spec[0] ?? '') ? spec[0] : '';
    const type = mark ? spec.slice(1) : spec;
    if (mark === '%') addEntry(out, key, type, field.bytes, depth);
    else if (mark === '*') ((out[key] ??= []) as unknown[]).push(valueOf(type, field, depth));
    else if (mark === '<') Object.assign(out, message(type, field.bytes, depth + 1));
    else {
      const value = valueOf(type, field, depth);
      if (mark === '!' ? value !== undefined : !isZero(key, value)) out[key] = value;
    }
  }
  return out;
}

const meantZeros = new Set(['maxSurge', 'maxUnavailable', 'minAvailable', 'port']);

/** `""`, 0 and false where Go has no pointer are how it says nothing; so is the zero of a Service's target port. */
function isZero(key: string, value: unknown): boolean {
  return value === undefined || value === '' || value === false || (value === 0 && !meantZeros.has(key));
}

function addEntry(out: Json, key: string, type: string, bytes: Uint8Array, depth: number): void {
  const map = (out[key] ??= {}) as Json;
  let name = '';
  let value: unknown = type === 'string' || type === 'bytes' ? '' : undefined;
  for (const field of fieldsOf(bytes)) {
    if (field.number === 1) name = utf8(field.bytes);
    if (field.number === 2) value = valueOf(type, field, depth);
  }
  Object.defineProperty(map, name, { value, enumerable: true, writable: true, configurable: true });
}

function valueOf(type: string, field: Field, depth: number): unknown {
  if ((type.includes('.') || type === 'string' || type === 'bytes') && field.wire !== 2) throw broken('a field has the wrong wire type');
  switch (type) {
    case 'string': return utf8(field.bytes);
    case 'bytes': return Buffer.from(field.bytes).toString('base64');
    case 'bool': return field.value !== 0n;
    case 'int32':
    case 'int64': return Number(BigInt.asIntN(64, field.value));
    case 'double': return new Float64Array(BigUint64Array.of(field.value).buffer)[0];
    case 'api.resource.Quantity': return single(field.bytes, 1) ?? '0';
    case 'util.intstr.IntOrString': return intOrString(field.bytes);
    case 'meta.v1.Time': return time(field.bytes, 0);
    case 'meta.v1.MicroTime': return time(field.bytes, 6);
    case 'meta.v1.FieldsV1':
    case 'pkg.runtime.RawExtension': return embeddedJson(field.bytes);
    case 'meta.v1.Verbs':
    case 'certificates.v1.ExtraValue':
    case 'authentication.v1.ExtraValue':
    case 'authorization.v1.ExtraValue': return [...fieldsOf(field.bytes)].map((item) => utf8(item.bytes));
    default: return message(type, field.bytes, depth + 1);
  }
}

function single(bytes: Uint8Array, number: number): string | undefined {
  for (const field of fieldsOf(bytes)) if (field.number === number) return utf8(field.bytes);
  return undefined;
}

function intOrString(bytes: Uint8Array): number | string {
  const parts = new Map([...fieldsOf(bytes)].map((field) => [field.number, field]));
  if (parts.get(1)?.value === 1n) return utf8(parts.get(3)?.bytes ?? none);
  return Number(BigInt.asIntN(64, parts.get(2)?.value ?? 0n));
}

/** Undefined for Go's zero time, which is sent as nothing. */
function time(bytes: Uint8Array, digits: 0 | 6): string | undefined {
  if (bytes.length === 0) return undefined;
  const parts = new Map([...fieldsOf(bytes)].map((field) => [field.number, field.value]));
  const seconds = Number(BigInt.asIntN(64, parts.get(1) ?? 0n));
  if (Math.abs(seconds) > 8e12) throw broken('a time in it is out of range');
  const whole = new Date(seconds * 1000).toISOString().slice(0, -5);
  return digits === 0 ? `${whole}Z` : `${whole}.${String(Math.floor(Number(parts.get(2) ?? 0n) / 1000)).padStart(6, '0')}Z`;
}

function embeddedJson(bytes: Uint8Array): unknown {
  const raw = single(bytes, 1);
  if (!raw) return undefined;
  try {
    return JSON.parse(raw);
  } catch {
    throw broken('the JSON inside it cannot be read');
  }
}

function utf8(bytes: Uint8Array): string {
  try {
    return text.decode(bytes);
  } catch {
    throw broken('a text in it is not UTF-8');
  }
}

function broken(why: string): StatusError {
  return new StatusError('BadRequest', `the protobuf body cannot be read: ${why}`);
}
