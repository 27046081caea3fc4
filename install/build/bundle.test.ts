import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { execOk } from '#common/exec.ts';
import { assetPaths } from './bundle.ts';

const root = join(import.meta.dirname, '../..');
const sources = globSync('{agent,api,cli,common,controlplane,proto}/**/*.ts', { cwd: root }).filter((path) => !/(\.test|\/test-[^/]*|\/generate|\/gen\/generate)\.ts$/.test(path));

describe('what the executable carries', () => {
  it('is every file that a program reads beside its own source', () => {
    const read = sources.flatMap((path) => [...readFileSync(join(root, path), 'utf8').matchAll(/'((?:\.\.?\/|)[\w./-]+\.(?:json|proto))'/g)].map(([, target = '']) => normalize(join(dirname(path), target))));
    const own = read.filter((path) => globSync(path, { cwd: root }).length > 0);
    expect([...new Set(own)].sort()).toEqual([...assetPaths].sort());
  });

  it('needs no top-level await, which a single executable cannot have', () => {
    const programs = new Set(['agent/state/crash-writer.ts', 'agent/pods/crash-agent.ts', 'controlplane/store/crash/child.ts']);
    expect(sources.filter((path) => !programs.has(path) && /^(?:await|(?:const|let) .*= await|for await) /m.test(readFileSync(join(root, path), 'utf8')))).toEqual([]);
  });

  it('starts servers with the flags that a checkout starts them with', () => {
    const script = readFileSync(join(root, 'cleat'), 'utf8');
    const entry = readFileSync(join(root, 'install/build/entry.ts'), 'utf8');
    const flags = (text: string): string[] => [...new Set(text.match(/--(?:no-(?:turbofan|maglev|sparkplug|parallel-scavenge|regexp-tier-up)|regexp-interpret-all|optimize-for-size|max-semi-space-size=\d+|v8-pool-size=\d+)/g))].sort();
    const malloc = (text: string): string[] => [...text.matchAll(/(MALLOC_\w+)(?:=|: ')(\d+)/g)].map(([, name, value]) => `${name ?? ''}=${value ?? ''}`).sort();
    expect(malloc(script)).toHaveLength(3);
    expect([flags(entry), malloc(entry)]).toEqual([flags(script), malloc(script)]);
  });

  it('compiles an expression once, with the flags that servers set for themselves', async () => {
    const entry = readFileSync(join(root, 'install/build/entry.ts'), 'utf8');
    const lists = [...entry.matchAll(/flags: \[('[^\]]+')\]/g)].map(([, list = '']) => list);
    expect(lists).toHaveLength(2);
    for (const list of lists) {
      const script = `for (const flag of [${list}]) require('v8').setFlagsFromString(flag); const word = /^a(?:b|c)*d$/; for (let i = 0; i < 9; i++) word.test('abcd');`;
      const told = await execOk(process.execPath, ['--trace-regexp-tier-up', '-e', script]);
      // One that is interpreted at first is compiled when it is used again, once.
      const times = Map.groupBy([...told.matchAll(/data: (0x\w+)\) needs tier-up/g)], ([, data]) => data);
      expect([...times.values()].filter(({ length }) => length > 1), list).toEqual([]);
    }
  });
});
