import { describe, expect, it } from 'vitest';
import { seeds } from '../support/chaos.ts';
import { Workloads } from './workloads.ts';

async function simulate(seed: number, gentle: boolean): Promise<void> {
  const world = await Workloads.make(seed, gentle);
  const faults = await world.run(12);
  if (process.env['TRACE'] !== undefined) console.log(world.plane.recorded.join('\n'));
  expect(faults).toEqual([]);
}

describe('a whole control plane', () => {
  it.each(seeds(4))('gives what is asked for, with as many as asked for all the time (SEED=%i)', (seed) => simulate(seed, true), 120_000);
  // Seed 38009273: a queue of just as much as the tolerance allows.
  it.each([...seeds(8), 38009273])('gives what is asked for, whatever happens (SEED=%i)', (seed) => simulate(seed, false), 120_000);
});
