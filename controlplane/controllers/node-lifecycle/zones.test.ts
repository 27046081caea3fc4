import { describe, expect, it } from 'vitest';
import { evictionRate, zoneOf, Zones, zoneState } from './zones.ts';

describe('a zone', () => {
  it.each([
    [1, 0, 'Normal'], [1, 1, 'FullDisruption'], [2, 1, 'Normal'], [2, 2, 'FullDisruption'], [3, 2, 'Normal'], [5, 2, 'Normal'], [5, 3, 'PartialDisruption'],
    [10, 5, 'Normal'], [10, 6, 'PartialDisruption'], [100, 54, 'Normal'], [100, 55, 'PartialDisruption'], [100, 100, 'FullDisruption'],
  ])('of %i nodes of which %i are not ready: %s', (total, notReady, state) => {
    expect(zoneState({ total, notReady })).toBe(state);
  });

  it.each([
    [100, 10, false, 0.1], [100, 55, false, 0.01], [51, 40, false, 0.01], [50, 40, false, 0], [50, 50, false, 0.1], [100, 10, true, 0],
  ])('of %i nodes of which %i are not ready, every zone down: %s; evictions per second: %d', (total, notReady, all, rate) => {
    expect(evictionRate({ total, notReady }, all)).toBe(rate);
  });

  it('is a region and a zone', () => {
    expect([{}, { 'topology.kubernetes.io/zone': 'a' }, { 'topology.kubernetes.io/region': 'r', 'topology.kubernetes.io/zone': 'a' }].map((labels) => zoneOf({ metadata: { labels } }))).toEqual([':', ':a', 'r:a']);
  });
});

describe('zones', () => {
  it('tell when the last one goes down and the first one comes back', () => {
    const zones = new Zones();
    for (const name of ['a1', 'a2', 'b1']) zones.set(name, name.slice(0, 1), true);
    expect([zones.set('b1', 'b', false), zones.everyZoneDown, zones.rate('b')]).toEqual([false, false, 0.1]);
    expect([zones.set('a1', 'a', false), zones.set('a1', 'a', false), zones.set('a2', 'a', false), zones.everyZoneDown, zones.rate('a')]).toEqual([false, false, true, true, 0]);
    expect([zones.set('b1', 'b', true), zones.everyZoneDown, zones.rate('a')]).toEqual([true, false, 0.1]);
    expect([zones.forget('b1'), zones.everyZoneDown]).toEqual([true, true]);
    expect([zones.set('a1', 'c', true), zones.count('a'), zones.count('c')]).toEqual([true, { total: 1, notReady: 1, nextMs: 0 }, { total: 1, notReady: 0, nextMs: 0 }]);
  });

  it('let one node after the other go', () => {
    const zones = new Zones();
    for (let i = 0; i < 10; i++) zones.set(`n${String(i)}`, 'z', i < 8);
    expect(zones.waitMs('z', 1000)).toBe(0);
    zones.evicted('z', 1000);
    expect([zones.waitMs('z', 1000), zones.waitMs('z', 8000), zones.waitMs('z', 11_000)]).toEqual([10_000, 3000, 0]);
    for (let i = 0; i < 6; i++) zones.set(`n${String(i)}`, 'z', false);
    expect(zones.waitMs('z', 99_000)).toBe(Infinity);
  });
});
