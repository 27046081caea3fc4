import { describe, expect, it } from 'vitest';
import { changed, parseTaints } from './taint.ts';

describe('taints', () => {
  it('are read as kubectl reads them', () => {
    expect(parseTaints(['a=b:NoSchedule', 'c:NoExecute', 'd-', 'e:NoExecute-', 'f=:NoSchedule', 'g=h:PreferNoSchedule-'])).toEqual({
      added: [{ key: 'a', value: 'b', effect: 'NoSchedule' }, { key: 'c', effect: 'NoExecute' }, { key: 'f', effect: 'NoSchedule' }],
      removed: [{ key: 'd', effect: undefined }, { key: 'e', effect: 'NoExecute' }, { key: 'g', effect: 'PreferNoSchedule' }],
    });
    for (const bad of ['a=b', '=b:NoSchedule', 'a=b:Never', ':NoSchedule']) expect(() => parseTaints([bad])).toThrow(/invalid taint/);
  });

  it('replace each other only when told to', () => {
    const now = [{ key: 'a', value: '1', effect: 'NoSchedule' }, { key: 'a', value: '1', effect: 'NoExecute' }];
    const added = [{ key: 'a', value: '2', effect: 'NoSchedule' }];
    expect(() => changed('n', now, added, [], false)).toThrow('node n already has a taint(s) with same effect(s) and --overwrite is false');
    expect(changed('n', now, added, [], true)).toEqual({ taints: [now[1], added[0]], did: 'modified' });
    expect(changed('n', now, [], [{ key: 'a', effect: undefined }], false)).toEqual({ taints: [], did: 'untainted' });
    expect(() => changed('n', now, [], [{ key: 'b', effect: undefined }], false)).toThrow('taint "b" not found');
  });
});
