/** Protobuf as gnostic's contracts of OpenAPI documents have it: members of JSON objects as numbered fields, maps as lists of pairs. */
export type Json = Readonly<Record<string, unknown>>;

/** How a member of a JSON object is written. Members that no row names are extensions, or left out. */
export type Row = readonly [number: number, write: (value: unknown) => Buffer | undefined];

export function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Buffer.from([...bytes, rest]);
}

export function field(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);
}

export const text = (value: unknown): Buffer => Buffer.from(String(value));
export const message = (...fields: Buffer[]): Buffer => Buffer.concat(fields);
export const anyValue = (value: unknown): Buffer => field(2, Buffer.from(`${JSON.stringify(value)}\n`));

export function flag(number: number, value: unknown): Buffer {
  return value === true ? Buffer.concat([varint(number * 8), Buffer.from([1])]) : Buffer.alloc(0);
}

export function named(entries: Json, number: number, write: (value: unknown) => Buffer): Buffer {
  return message(...Object.entries(entries).map(([name, value]) => field(number, message(field(1, text(name)), field(2, write(value))))));
}

export function extensionsOf(object: Json, number: number): Buffer {
  return named(Object.fromEntries(Object.entries(object).filter(([key]) => key.startsWith('x-'))), number, anyValue);
}

export function members(object: Json, rows: Readonly<Record<string, Row>>): Buffer {
  return message(...Object.entries(rows).flatMap(([key, [number, write]]) => {
    const bytes = object[key] === undefined ? undefined : write(object[key]);
    return bytes === undefined ? [] : [field(number, bytes)];
  }));
}

export const repeated = (value: unknown, number: number, write: (item: unknown) => Buffer): Buffer => message(...(value as unknown[]).map((item) => field(number, write(item))));
