import { describe, expect, it } from 'vitest';
import { candidates } from './candidates.ts';

const choices = { verbs: ['get', 'get-out', 'rollout'], help: () => Promise.resolve('  -o, --output STRING  --no\n  --watch  x\n'), client: undefined };

describe('completion', () => {
  it.each<[string[], string[]]>([
    [['ge'], ['get', 'get-out']],
    [[''], ['get', 'get-out', 'rollout']],
    [['get', '--'], ['--no', '--output', '--watch']],
    [['get', '--w'], ['--watch']],
    [['rollout', 'res'], ['restart', 'resume']],
    [['get', 'pods', 'w'], []],
    [['set', 'se'], ['selector', 'serviceaccount']],
    [['certificate', ''], ['approve', 'deny']],
  ])('%j', async (words, expected) => {
    expect(await candidates(words, choices)).toEqual(expected);
  });
});
