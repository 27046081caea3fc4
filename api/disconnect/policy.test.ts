import { describe, expect, it } from 'vitest';
import type { Pod } from '../gen/types.ts';
import { disconnectPolicyOf, disconnectProblems, keepsOne, leaseEnd, parseDurationMs } from './policy.ts';

const policy = (words: string): Record<string, string> => Object.fromEntries(words.split(' ').filter(Boolean).map((word) => { const [key = '', value = ''] = word.split('='); return [`cleat.dev/disconnect-${key}`, value]; }));
const pod = (words: string, owner?: string): Pod => ({ metadata: { name: 'p', annotations: policy(words), ...(owner && { ownerReferences: [{ apiVersion: 'apps/v1', kind: owner, name: 'o', uid: 'o', controller: true }] }) } });

describe('a disconnect policy', () => {
  it.each([
    ['', undefined, undefined],
    ['policy=keep', undefined, ['keep', 300_000, 'replacement', 'many']],
    ['policy=replace', undefined, ['replace', 300_000, 'replacement', 'many']],
    ['policy=replace replace-after=1m30s', undefined, ['replace', 90_000, 'replacement', 'many']],
    ['policy=replace on-return=original', 'ReplicaSet', ['replace', 300_000, 'original', 'many']],
    ['policy=replace on-return=original', 'Job', ['keep', 300_000, 'original', 'many']],
    ['policy=replace on-return=original', undefined, ['keep', 300_000, 'original', 'many']],
    ['policy=replace copies=one', 'ReplicaSet', ['replace', 300_000, 'replacement', 'one']],
    ['policy=replace', 'StatefulSet', ['replace', 300_000, 'replacement', 'one']],
    ['policy=replace on-return=original replace-after=1s', 'StatefulSet', ['replace', 10_000, 'replacement', 'one']],
    ['policy=nonsense', undefined, undefined],
    ['policy=replace replace-after=soon', undefined, undefined],
  ])('of "%s" on a pod of %s', (words, owner, expected) => {
    const found = disconnectPolicyOf(pod(words, owner));
    expect(found && [found.action, found.replaceAfterMs, found.onReturn, found.copies]).toEqual(expected);
  });

  it.each([
    ['policy=keep', []],
    ['policy=replace replace-after=10s copies=one', []],
    ['policy=Keep', ['policy']],
    ['policy=replace replace-after=5', ['replace-after']],
    ['policy=replace replace-after=-5s', ['replace-after']],
    ['policy=replace replace-after=99999999h', ['replace-after']],
    ['policy=replace replace-after=9s copies=one', ['replace-after']],
    ['policy=replace copies=one on-return=original', ['on-return']],
    ['policy=keep copies=one', ['copies']],
    ['on-return=original', ['on-return']],
    ['policy=x copies=y on-return=z replace-after=w', ['policy', 'on-return', 'copies', 'replace-after', 'replace-after']],
  ])('"%s" has these faults: %j', (words, expected) => {
    expect(disconnectProblems(policy(words)).map(({ key }) => key.replace('cleat.dev/disconnect-', ''))).toEqual(expected);
  });

  it('knows durations', () => {
    expect(['90s', '1h30m', '500ms', '0s', '', '5', '1.5h', '5d', '1h 2m'].map(parseDurationMs)).toEqual([90_000, 5_400_000, 500, 0, undefined, undefined, undefined, undefined, undefined]);
  });

  it.each([[10_000, 30], [10_000, 0], [60_000, 30], [300_000, 30], [300_000, 3600], [86_400_000, 30]])('ends a copy well before its %i ms are over, with %i s of grace', (replaceAfterMs, grace) => {
    const end = leaseEnd({ action: 'replace', replaceAfterMs, onReturn: 'replacement', copies: 'one' }, grace);
    expect(end.graceSeconds).toBeLessThanOrEqual(grace);
    expect(end.beginMs).toBeGreaterThanOrEqual(replaceAfterMs * 0.37);
    expect(end.beginMs + end.graceSeconds * 1000).toBeLessThanOrEqual(replaceAfterMs * 0.9 - 1000);
  });

  it('keeps one copy only of what is replaced', () => {
    expect([pod('policy=replace copies=one'), pod('policy=replace', 'StatefulSet'), pod('policy=keep', 'StatefulSet'), pod('policy=replace')].map(keepsOne)).toEqual([true, true, false, false]);
  });
});
