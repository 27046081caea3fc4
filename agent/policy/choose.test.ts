import { expect, it } from 'vitest';
import { UsablePolicies } from './choose.ts';
import type { PolicyBackend } from './types.ts';

const signal = new AbortController().signal;

it('takes what the host can use, and takes the other\'s rules away only when its own are in place', async () => {
  const told: string[] = [];
  const problems: Record<string, string | undefined> = { first: 'it is missing', second: undefined };
  const backend = (name: string): PolicyBackend => {
    const note = (what: string) => (): Promise<void> => { told.push(`${name} ${what}`); return Promise.resolve(); };
    return { unusable: () => Promise.resolve(problems[name]), replace: note('replace'), apply: note('apply'), intact: () => Promise.resolve(true), cleanup: note('cleanup') };
  };
  const chosen = new UsablePolicies([backend('first'), backend('second')]);
  await expect(chosen.apply(new Map(), signal)).rejects.toThrow('no backend');
  expect(await chosen.unusable(signal)).toBeUndefined();
  await chosen.replace(new Map(), signal);
  await chosen.apply(new Map(), signal);
  problems['first'] = undefined;
  expect(await chosen.unusable(signal)).toBeUndefined();
  await chosen.replace(new Map(), signal);
  await chosen.cleanup(signal);
  expect(told).toEqual(['second replace', 'second apply', 'first replace', 'second cleanup', 'first cleanup']);
  [problems['first'], problems['second']] = ['one', 'two'];
  expect(await chosen.unusable(signal)).toBe('one; two');
});
