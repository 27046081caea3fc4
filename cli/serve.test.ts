import { expect, it } from 'vitest';
import { StatusError } from '#common/errors.ts';
import { untilEnded } from './serve.ts';

function make() {
  const interrupt = new AbortController();
  const told: string[] = [];
  return { interrupt, told, io: { interrupted: interrupt.signal, err: (text: string) => told.push(text) } };
}

it('fails with what ended it, unless somebody asked for the end', async () => {
  const { io, interrupt, told } = make();
  const failure = new StatusError('InternalError', 'the disk is gone');
  await expect(untilEnded(Promise.reject(failure), io)).rejects.toBe(failure);
  expect(await untilEnded(Promise.resolve(), io)).toBe(0);
  interrupt.abort(new Error('SIGINT'));
  expect(await untilEnded(Promise.reject(failure), io)).toBe(0);
  expect(told).toEqual(['error: the disk is gone\n']);
});

it('says nothing of waits that the end cut off', async () => {
  const { io, interrupt, told } = make();
  interrupt.abort(new Error('SIGTERM'));
  expect(await untilEnded(Promise.reject(io.interrupted.reason), io)).toBe(0);
  expect(told).toEqual([]);
});
