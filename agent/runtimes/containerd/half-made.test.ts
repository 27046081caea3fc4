import { expect, it } from 'vitest';
import { staleLeases } from './half-made.ts';

it('tells leases from before a moment from those after it, also within its second', () => {
  const listed = ['ID CREATED AT LABELS', '999000000-aaaa 2026-01-01T00:00:09Z -', '100000000-bbbb 2026-01-01T00:00:10Z -', '61642533-Mf_u 2026-01-01T00:00:10Z -', '600000000-cccc 2026-01-01T00:00:10Z -', 'named 2026-01-01T00:00:10Z -', 'old 2026-01-01T00:00:08Z -', ''].join('\n');
  expect(staleLeases(listed, Date.parse('2026-01-01T00:00:10.500Z'))).toEqual(['999000000-aaaa', '100000000-bbbb', '61642533-Mf_u', 'old']);
});
