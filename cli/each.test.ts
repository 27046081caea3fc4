import { expect, it } from 'vitest';
import { StatusError } from '#common/errors.ts';
import { eachOf } from './each.ts';

const answer = (name: string): StatusError => new StatusError('NotFound', `pods "${name}" not found`, { details: { kind: 'pods', name } });

it('goes on where the server refuses one, and tells of it', async () => {
  const done: string[] = [];
  const failures = await eachOf(['a', 'b', 'c', 'd'], async (name) => {
    if (name === 'b' || name === 'c') throw answer(name);
    done.push(name);
    await Promise.resolve();
  }, { told: (error, name) => (name === 'c' ? undefined : error) });
  expect([done, failures]).toEqual([['a', 'd'], [answer('b')]]);
});

it.each([new StatusError('ServiceUnavailable', 'the server is gone'), new Error('interrupted')])('ends with %s', async (error) => {
  const tried: string[] = [];
  await expect(eachOf(['a', 'b'], (name) => {
    tried.push(name);
    return Promise.reject(error);
  })).rejects.toBe(error);
  expect(tried).toEqual(['a']);
});
