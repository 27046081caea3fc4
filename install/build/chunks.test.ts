import { describe, expect, it } from 'vitest';
import { chunkLoader, packChunks } from './chunks.ts';

const packed = (chunks: Readonly<Record<string, string>>, compiles = false) => packChunks(new Map(Object.entries(chunks)), compiles);

describe('the loader of chunks', () => {
  it.each([false, true])('runs what a chunk requires, once and when it is required (compiled beforehand: %s)', (compiles) => {
    const log: unknown[] = [];
    Object.assign(globalThis, { chunkLog: log });
    const load = chunkLoader(packed({
      'later.js': 'chunkLog.push("later"); exports.value = 2;',
      'main.js': 'const { join } = require("node:path"); exports.path = join("a", "b"); exports.later = () => require("./later.js").value;',
    }, compiles));
    const main = load('main.js') as { path: string; later: () => number };
    expect([main.path, log]).toEqual(['a/b', []]);
    expect([main.later(), main.later(), log]).toEqual([2, 2, ['later']]);
    expect(load('main.js')).toBe(main);
  });

  it('lets chunks require each other, and replace what they export', () => {
    const load = chunkLoader(packed({
      'a.js': 'exports.early = 1; exports.seen = require("./b.js")();',
      'b.js': 'const a = require("./a.js"); module.exports = () => a.early;',
    }));
    expect(load('a.js')).toEqual({ early: 1, seen: 1 });
  });

  it("knows Node's own modules by both names, and says of others that they are not there", () => {
    const load = chunkLoader(packed({ 'main.js': 'exports.same = require("fs") === require("node:fs"); exports.optional = () => require("bufferutil");' }));
    const main = load('main.js') as { same: boolean; optional: () => void };
    expect(main.same).toBe(true);
    expect(() => { main.optional(); }).toThrow(expect.objectContaining({ code: 'MODULE_NOT_FOUND', message: expect.stringContaining('bufferutil') as string }));
    expect(() => load('other.js')).toThrow('this executable has no chunk other.js');
    expect(() => load('toString')).toThrow('has no chunk');
  });

  it('gives V8 what V8 takes: the same flags, the same source', () => {
    const { index, code, compiled } = packed({ 'a.js': 'exports.a = () => 1;', 'b.js': 'exports.b = () => 2;' }, true);
    expect(index['b.js']?.[0]).toBe(index['a.js']?.[1]);
    expect([code.length, compiled.length]).toEqual(['code', 'compiled'].map((_, i) => Object.values(index).reduce((sum, place) => sum + (place[2 * i + 1] ?? 0), 0)));
    // What is broken is compiled anew.
    const load = chunkLoader({ index, code, compiled: Buffer.alloc(compiled.length) });
    expect((load('b.js') as { b: () => number }).b()).toBe(2);
  });

  it('names the chunk where something goes wrong', () => {
    const load = chunkLoader(packed({ 'wrong.js': 'throw new Error("here");' }));
    expect(() => load('wrong.js')).toThrow(expect.objectContaining({ stack: expect.stringContaining('cleat:wrong.js:1') as string }));
  });
});
