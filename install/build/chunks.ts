import { dirname } from 'node:path';
import { compileFunction } from 'node:vm';

/** Chunks as the executable carries them: each by where it lies in `code`, and in `compiled` what V8 made of it beforehand. */
export interface Code {
  readonly index: Readonly<Record<string, Place>>;
  readonly code: Buffer;
  /** Absent for another architecture. */
  readonly compiled?: Buffer;
}

/** Bytes: where a chunk begins and how long it is, the same of what was compiled. */
type Place = readonly [at: number, length: number, compiledAt: number, compiledLength: number];

interface Chunk { exports: unknown }
type Body = (exports: unknown, require: (name: string) => unknown, module: Chunk, filename: string, dirname: string) => void;

/**
 * What runs a program that was cut into chunks: each is read and compiled when it is first required, so a process holds the source of
 * what it uses alone. Everything else that a chunk may require is one of Node's own modules.
 */
export function chunkLoader(code: Code): (name: string) => unknown {
  const loaded = new Map<string, Chunk>();
  const require = (name: string): unknown => {
    if (name.startsWith('./')) return load(name.slice(2));
    const own = process.getBuiltinModule(name) as unknown;
    if (own === undefined) throw Object.assign(new Error(`no module ${name}: it is neither Node's own nor part of this executable`), { code: 'MODULE_NOT_FOUND' });
    return own;
  };
  function load(name: string): unknown {
    const known = loaded.get(name);
    // Chunks may require each other in a circle; then one sees what the other has exported so far.
    if (known) return known.exports;
    const chunk: Chunk = { exports: {} };
    loaded.set(name, chunk);
    const place = Object.hasOwn(code.index, name) ? code.index[name] : undefined;
    if (!place) throw new Error(`this executable has no chunk ${name}`);
    const [at, length, compiledAt, compiledLength] = place;
    const cachedData = compiledLength > 0 ? code.compiled?.subarray(compiledAt, compiledAt + compiledLength) : undefined;
    const body = compileFunction(code.code.toString('latin1', at, at + length), parameters, { filename: `cleat:${name}`, ...(cachedData && { cachedData }) }) as Body;
    body(chunk.exports, require, chunk, process.execPath, dirname(process.execPath));
    return chunk.exports;
  }
  return load;
}

const parameters = ['exports', 'require', 'module', '__filename', '__dirname'] as const;

/**
 * Puts chunks one behind the other, in the order given. What is compiled is of use to processes with the flags of V8 of this one alone.
 */
export function packChunks(chunks: ReadonlyMap<string, string>, compiles: boolean): Required<Code> {
  const index: Record<string, Place> = {};
  const parts = { code: [] as Buffer[], compiled: [] as Buffer[] };
  const at = { code: 0, compiled: 0 };
  for (const [name, source] of chunks) {
    const code = Buffer.from(source, 'latin1');
    const compiled = compiles ? compileAhead(source) : Buffer.alloc(0);
    index[name] = [at.code, code.length, at.compiled, compiled.length];
    parts.code.push(code);
    parts.compiled.push(compiled);
    at.code += code.length;
    at.compiled += compiled.length;
  }
  return { index, code: Buffer.concat(parts.code), compiled: Buffer.concat(parts.compiled) };
}

function compileAhead(source: string): Buffer {
  const { cachedData } = compileFunction(source, parameters, { produceCachedData: true }) as Body & { readonly cachedData?: Buffer };
  if (!cachedData) throw new Error('V8 compiled a chunk, but gave nothing to keep');
  return cachedData;
}
