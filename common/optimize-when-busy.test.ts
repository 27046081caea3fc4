import { expect, it } from 'vitest';
import { ManualClock } from './clock.ts';
import { exec } from './exec.ts';
import { optimizeWhenBusy } from './optimize-when-busy.ts';

it('optimizes in two stages, after bursts, and not for the start', async () => {
  const clock = new ManualClock();
  const engine = { busy: 0, compilers: '', busyShare: () => engine.busy, optimize: (compilers: readonly string[]) => { engine.compilers += `${compilers.join(' ')}.`; } };
  const after = async (seconds: number, busy: number): Promise<string> => { engine.busy = busy; await clock.advance(seconds * 1000); return engine.compilers; };
  optimizeWhenBusy(clock, engine, new AbortController().signal);
  expect(await after(10, 1)).toBe('');
  expect(await after(3600, 0.02)).toBe('');
  expect(await after(2, 1)).toBe('');
  expect(await after(120, 0.01)).toBe('');
  expect(await after(4, 1)).toBe('sparkplug maglev.');
  expect(await after(3600, 0.02)).toBe('sparkplug maglev.');
  expect(await after(16, 1)).toBe('sparkplug maglev.turbofan.');
  expect(await after(600, 1)).toBe('sparkplug maglev.turbofan.');
});

it('optimizes a process that is a little busy for long', async () => {
  const clock = new ManualClock();
  let optimized = 0;
  optimizeWhenBusy(clock, { busyShare: () => 0.1, optimize: () => { optimized++; } }, new AbortController().signal);
  await clock.advance(40_000);
  expect(optimized).toBe(0);
  await clock.advance(40_000);
  expect(optimized).toBe(1);
  await clock.advance(200_000);
  expect(optimized).toBe(2);
});

it('looks no more when the process ends', async () => {
  const clock = new ManualClock();
  const stop = new AbortController();
  optimizeWhenBusy(clock, { busyShare: () => 1, optimize: () => { throw new Error('too late'); } }, stop.signal);
  stop.abort();
  await clock.advance(60_000);
});

it('is something that this Node can do while it runs', async () => {
  const script = `
    import { thisEngine } from ${JSON.stringify(new URL('optimize-when-busy.ts', import.meta.url).href)};
    const sum = (items) => { let total = 0; for (let i = 0; i < items.length; i++) total += items[i].x * i; return total; };
    const items = Array.from({ length: 1000 }, (_, x) => ({ x }));
    const run = () => { for (let i = 0; i < 3000; i++) sum(items); return %GetOptimizationStatus(sum); };
    const optimized = (status) => (status & 0b110000) !== 0;
    const before = optimized(run());
    thisEngine().optimize(['sparkplug', 'maglev', 'turbofan']);
    let after = false;
    for (let i = 0; i < 200 && !after; i++) { after = optimized(run()); await new Promise((resolve) => { setTimeout(resolve, 1); }); }
    console.log(before, after);`;
  const { stdout, stderr } = await exec(process.execPath, ['--disable-warning=ExperimentalWarning', '--no-turbofan', '--no-maglev', '--no-sparkplug', '--allow-natives-syntax', '--input-type=module', '-e', script]);
  expect(stdout, stderr).toBe('false true\n');
});
