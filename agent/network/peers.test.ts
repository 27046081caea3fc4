import { describe, expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { largestPacket, Peers, type ProbedPlan } from './peers.ts';

const forever = new AbortController().signal;
const plan = (change: object = {}): ProbedPlan => ({ plan: { nodeName: 'b', podCidrs: ['10.42.1.0/24', 'fd42:0:0:1::/64'], how: 'routes', why: 'on the same link', via: ['10.0.0.2', 'fe80::2'], ...change }, nominalMtu: 1500 });

/** A path that takes packets of so many bytes; 0 for none. `learned`: what the kernel has been told of it. */
class Path {
  takes = 1500;
  learned: number | undefined;
  asked = 0;
  readonly address = '10.42.0.0';
  ask = (_address: string, bytes: number): Promise<number | undefined> => {
    this.asked++;
    // What is known to be too large goes in pieces, and arrives.
    const pieces = this.learned !== undefined && bytes > this.learned;
    return Promise.resolve(this.takes > 0 && (bytes <= this.takes || pieces) ? 1.5 : undefined);
  };
  stream = (): Promise<string | undefined> => Promise.resolve(this.takes > 0 ? undefined : 'no connection');
}

async function start(path: Path, plans: readonly ProbedPlan[] = [plan()]) {
  const clock = new ManualClock();
  const stop = new AbortController();
  let changes = 0;
  const peers = new Peers({ prober: path, clock, log: silentLog, random: () => 0, learnedMtu: () => Promise.resolve(path.learned), changed: () => { changes++; } });
  peers.follow(plans);
  const ended = peers.run(stop.signal).catch(() => undefined);
  const settle = async (ms = 0): Promise<void> => { for (let i = 0; i < 40; i++) await clock.advance(i === 0 ? ms : 0); };
  await settle();
  return { clock, peers, settle, changes: () => changes, end: async () => { stop.abort(new Error('over')); await ended; } };
}

describe('peers', () => {
  it('are asked with packets of full size, once a minute', async () => {
    const path = new Path();
    const { peers, settle, end } = await start(path);
    expect(peers.statuses()).toEqual([{ node: 'b', how: 'routes', why: 'on the same link', mtu: 1500, seenAgoMs: 0, rttMs: 1.5 }]);
    expect(peers.mtus().size).toBe(0);
    const { asked } = path;
    await settle(59_000);
    expect(path.asked).toBe(asked);
    await settle(1000);
    expect(path.asked).toBe(asked + 1);
    await end();
  });

  it('get smaller packets where the path takes no larger ones, and when it becomes narrower', async () => {
    const path = new Path();
    path.takes = 1392;
    const { peers, settle, changes, end } = await start(path);
    expect([peers.mtus().get('b'), changes()]).toEqual([1392, 1]);
    path.takes = 1280;
    await settle(60_000);
    expect([peers.mtus().get('b'), changes()]).toEqual([1280, 2]);
    expect(peers.statuses()[0]?.problem).toBeUndefined();
    await end();
  });

  it('get the size that the kernel was told, for what is larger arrives in pieces', async () => {
    const path = new Path();
    path.takes = path.learned = 1400;
    const { peers, end } = await start(path);
    expect(peers.mtus().get('b')).toBe(1400);
    await end();
  });

  it('that do not answer are asked again, ever less often, and are known again when they do', async () => {
    const path = new Path();
    path.takes = 0;
    const { peers, settle, end } = await start(path);
    expect(peers.statuses()).toMatchObject([{ node: 'b', problem: 'does not answer', mtu: 1500 }]);
    expect(await peers.check(forever)).toEqual([{ to: 'b', protocol: 'UDP', bytes: 1500, problem: 'nothing arrives, or no answer comes back', heard: false }]);
    const checked = peers.check(forever);
    peers.heard('10.42.1.0');
    expect(await checked).toMatchObject([{ to: 'b', heard: true }]);
    await settle(1);
    expect(await peers.check(forever)).toMatchObject([{ to: 'b', heard: false }]);
    path.takes = 1500;
    await settle(1000);
    expect(peers.statuses()[0]?.problem).toBeUndefined();
    await end();
  });

  it('are measured anew when they are reached another way, and forgotten when they go', async () => {
    const path = new Path();
    path.takes = 1400;
    const { peers, settle, end } = await start(path);
    peers.follow([{ ...plan({ how: 'vxlan' }), nominalMtu: 1350 }]);
    await settle();
    expect([peers.mtus().size, peers.statuses()[0]?.mtu]).toEqual([0, 1350]);
    peers.follow([plan({ how: 'none', why: 'no shared link' })]);
    await settle();
    expect(await peers.check(forever)).toEqual([{ to: 'b', protocol: 'UDP', bytes: 1500, problem: 'no shared link' }]);
    peers.follow([]);
    expect(peers.statuses()).toEqual([]);
    await end();
  });

  it('are known by the sizes that reach them, whatever those are', async () => {
    for (const takes of [576, 577, 600, 1000, 1279, 1391, 1498, 1499]) {
      const path = new Path();
      path.takes = takes;
      expect(await largestPacket(path, '10.42.1.0', 576, 1500, forever)).toBe(takes);
      expect(path.asked).toBeLessThan(60);
    }
    const dead = new Path();
    dead.takes = 0;
    expect(await largestPacket(dead, '10.42.1.0', 576, 1500, forever)).toBeUndefined();
  });
});
