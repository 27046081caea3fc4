/**
 * The little of DER (ITU-T X.690) that certificates and signing requests need. OpenSSL checks everything made here
 * again when it is parsed with X509Certificate or used for TLS.
 */
export const tag = {
  boolean: 0x01, integer: 0x02, bitString: 0x03, octetString: 0x04, oid: 0x06, utf8String: 0x0c,
  sequence: 0x30, set: 0x31, utcTime: 0x17, generalizedTime: 0x18,
} as const;

export function der(tagByte: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tagByte]), lengthOf(body.length), body]);
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  const hex = length.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  return Buffer.concat([Buffer.from([0x80 | bytes.length]), bytes]);
}

export const sequence = (...parts: readonly Uint8Array[]): Buffer => der(tag.sequence, ...parts);
export const octetString = (bytes: Uint8Array): Buffer => der(tag.octetString, bytes);
/** Whole bytes only; `unusedBits` of the last one do not count. */
export const bitString = (bytes: Uint8Array, unusedBits = 0): Buffer => der(tag.bitString, Buffer.from([unusedBits]), bytes);
export const utf8String = (text: string): Buffer => der(tag.utf8String, Buffer.from(text));
export const boolean = (value: boolean): Buffer => der(tag.boolean, Buffer.from([value ? 0xff : 0]));

/** A non-negative integer from its big-endian bytes. */
export function integer(bytes: Uint8Array): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const trimmed = bytes.subarray(start);
  return (trimmed[0] ?? 0) >= 0x80 ? der(tag.integer, Buffer.from([0]), trimmed) : der(tag.integer, trimmed);
}

/** `1.2.840.10045.4.3.2` as an object identifier. */
export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  return der(tag.oid, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

function base128(value: number): number[] {
  const bytes = [value & 0x7f];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) bytes.unshift((rest & 0x7f) | 0x80);
  return bytes;
}

/** RFC 5280: UTCTime until 2049, GeneralizedTime from then on. */
export function time(epochMs: number): Buffer {
  const digits = new Date(epochMs).toISOString().slice(0, 19).replaceAll(/[-:T]/g, '');
  return Number(digits.slice(0, 4)) < 2050 ? der(tag.utcTime, Buffer.from(`${digits.slice(2)}Z`)) : der(tag.generalizedTime, Buffer.from(`${digits}Z`));
}

/** One parsed element: its tag, content, and all of its bytes. Views into the input. */
export interface Element {
  readonly tag: number;
  readonly content: Buffer;
  readonly raw: Buffer;
}

/** The elements that follow each other in `bytes`; throws RangeError on anything that is not well-formed DER. */
export function elements(bytes: Buffer): Element[] {
  const found: Element[] = [];
  for (let at = 0; at < bytes.length;) {
    const element = elementAt(bytes, at);
    found.push(element);
    at += element.raw.length;
  }
  return found;
}

function elementAt(bytes: Buffer, at: number): Element {
  const tagByte = bytes[at];
  const first = bytes[at + 1];
  if (tagByte === undefined || first === undefined) throw new RangeError('DER ends early');
  if ((tagByte & 0x1f) === 0x1f) throw new RangeError('long DER tags are not supported');
  let start = at + 2;
  let length = first;
  if (first >= 0x80) {
    const count = first & 0x7f;
    if (count === 0 || count > 3 || start + count > bytes.length) throw new RangeError('bad DER length');
    length = bytes.readUIntBE(start, count);
    start += count;
  }
  if (start + length > bytes.length) throw new RangeError('DER ends early');
  return { tag: tagByte, content: bytes.subarray(start, start + length), raw: bytes.subarray(at, start + length) };
}
