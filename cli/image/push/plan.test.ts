import { describe, expect, it } from 'vitest';
import { PushPlan, pushPlanDefaults, type Outcome, type PlannedNode, type Step } from './plan.ts';

const node = (name: string, more: Partial<PlannedNode> = {}): PlannedNode => ({ name, missing: ['a', 'b', 'c'], shared: [], serves: true, site: '', ...more });

/** Carries out a plan, one step of a random node at a time; `outcome` says how each ends. */
function run(nodes: readonly PlannedNode[], { canPut = true, seed = 1, outcome = () => 'done' }: { canPut?: boolean; seed?: number; outcome?: (name: string, step: Step) => Outcome | 'lost' } = {}) {
  const plan = new PushPlan(nodes, { ...pushPlanDefaults, canPut });
  const steps: [string, Step][] = [];
  const over = new Map<string, string>();
  const busy = new Map<string, Step>();
  let state = seed;
  const random = (below: number): number => { state = (state * 48271) % 2147483647; return state % below; };
  for (let turns = 0; over.size < nodes.length; turns++) {
    if (turns > 10_000) throw new Error(`it does not end: ${JSON.stringify([...busy])}`);
    const idle = nodes.filter(({ name }) => !over.has(name) && !busy.has(name));
    const waits = idle.filter(({ name }) => {
      const step = plan.next(name);
      if (step.do === 'wait') return true;
      if (step.do === 'put' || step.do === 'fetch') busy.set(name, step);
      else over.set(name, step.do);
      return false;
    });
    if (busy.size === 0) {
      if (waits.length > 0) throw new Error(`nobody does anything, and ${JSON.stringify(waits)} waits`);
      continue;
    }
    const [name, step] = [...busy][random(busy.size)] ?? ['', { do: 'wait' }];
    busy.delete(name);
    const end = outcome(name, step);
    if (end === 'lost') {
      plan.lose(name);
      over.set(name, 'lost');
    } else {
      steps.push([name, step]);
      plan.settle(name, end);
    }
  }
  return { puts: steps.filter(([, step]) => step.do === 'put'), steps, over };
}
const names = ['n1', 'n2', 'n3', 'n4', 'n5'];
const seeds = Array.from({ length: 20 }, (_, i) => i + 1);

describe('a push to several nodes', () => {
  it.each(seeds)('sends each blob once from here, and all get all (seed %i)', (seed) => {
    const { puts, steps, over } = run(names.map((name) => node(name)), { seed });
    expect(puts.map(([, step]) => (step.do === 'put' ? step.digest : '')).sort()).toEqual(['a', 'b', 'c']);
    expect([steps.length, [...over.values()]]).toEqual([15, names.map(() => 'done')]);
  });

  it('sends what a node has already to nobody, when others can fetch it there', () => {
    const { puts, steps } = run([node('n1', { missing: ['c'], shared: ['a', 'b'] }), node('n2')]);
    expect([puts.length, steps.length]).toEqual([1, 4]);
    expect(run([node('n1', { missing: [], shared: [] })]).steps).toEqual([]);
  });

  it('sends once to each site when they cannot reach each other', () => {
    const { puts } = run([node('n1', { site: 'x' }), node('n2', { site: 'x' }), node('n3', { site: 'y' }), node('n4', { site: 'y' })]);
    expect(puts).toHaveLength(6);
  });

  it.each(seeds)('goes on from here when peers cannot be reached, lie or die (seed %i)', (seed) => {
    const { puts, over } = run(names.map((name) => node(name)), { seed, outcome: (_, step) => (step.do === 'fetch' ? 'unreachable' : 'done') });
    expect([puts.length, [...over.values()]]).toEqual([15, names.map(() => 'done')]);
    const liar = run(names.map((name) => node(name)), { seed, outcome: (_, step) => (step.do === 'fetch' && step.from === 'n1' ? 'failed' : 'done') });
    expect([...liar.over.values()]).toEqual(names.map(() => 'done'));
    let steps = 0;
    const death = run(names.map((name) => node(name)), { seed, outcome: (name) => (name === 'n1' && ++steps === 2 ? 'lost' : 'done') });
    expect(names.map((name) => death.over.get(name))).toEqual(['lost', 'done', 'done', 'done', 'done']);
  });

  it.each(seeds)('gives one that was lost and is back what it lacks by then, and asks it again (seed %i)', (seed) => {
    const plan = new PushPlan(names.slice(0, 2).map((name) => node(name)), { ...pushPlanDefaults, canPut: true });
    const [gone = '', stays = ''] = seed % 2 === 0 ? ['n1', 'n2'] : ['n2', 'n1'];
    const lost = plan.next(gone);
    expect(lost.do).toBe('put');
    plan.lose(gone);
    const puts: string[] = [];
    for (let step = plan.next(stays); step.do === 'put'; step = plan.next(stays)) {
      puts.push(step.digest);
      plan.settle(stays, 'done');
    }
    expect([puts.sort(), plan.next(gone).do]).toEqual([['a', 'b', 'c'], 'done']);
    plan.rejoin(node(gone, { missing: ['b', 'c'], shared: ['a'] }));
    for (const digest of ['b', 'c']) {
      expect(plan.next(gone)).toEqual({ do: 'fetch', digest, from: stays });
      plan.settle(gone, 'done');
    }
    expect(plan.next(gone)).toEqual({ do: 'done' });
  });

  it('asks nobody behind a NAT where one was not to be reached', () => {
    const tried: string[] = [];
    const { over } = run([node('n1', { missing: [], shared: ['a', 'b', 'c'] }), node('n2', { missing: [], shared: ['a', 'b', 'c'] }), node('far', { site: 'x', missing: ['a'] })], { outcome: (_, step) => { if (step.do === 'fetch') tried.push(step.from); return step.do === 'fetch' ? 'unreachable' : 'done'; } });
    expect([tried, over.get('far')]).toEqual([['n1'], 'done']);
  });

  it.each(seeds)('says who can get it from nobody, when it is not here (seed %i)', (seed) => {
    const giver = node('giver', { missing: [], shared: ['a', 'b', 'c'] });
    const one = run([giver, node('n1'), node('n2')], { canPut: false, seed });
    expect([one.puts, [...one.over.values()]]).toEqual([[], ['done', 'done', 'done']]);
    const far = run([{ ...giver, site: 'home' }, node('n1'), node('n2')], { canPut: false, seed });
    expect([...far.over.values()].sort()).toEqual(['done', 'stuck', 'stuck']);
    // What one that can reach it has got, the other can have from that.
    const between = run([giver, node('n1'), node('n2', { site: 'y' })], { canPut: false, seed, outcome: (name, step) => (step.do === 'fetch' && step.from === 'giver' && name === 'n2' ? 'failed' : 'done') });
    expect(between.over.get('n2')).toBe('done');
  });
});
