import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { isUpgradedBy, upgradedBy } from './upgraded-by.ts';

it('knows who brings another version to a host', () => {
  const list = join(mkdtempSync(join(tmpdir(), 'upgraded-')), 'cleat.list');
  expect(upgradedBy('/usr/bin/cleat', true, list)).toBe('cleat');
  writeFileSync(list, '');
  expect(upgradedBy('/usr/bin/cleat', true, list)).toBe('package');
  // Beside the package somebody runs another one.
  expect(upgradedBy('/usr/local/bin/cleat', true, list)).toBe('cleat');
  expect(upgradedBy('/usr/local/bin/cleat', false, list)).toBe('hand');
  expect(upgradedBy(undefined, true, list)).toBe('checkout');
  expect(['cleat', 'package', 'toString', 1].map(isUpgradedBy)).toEqual([true, true, false, false]);
});
