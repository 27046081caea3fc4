import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { FakeDriver } from '#agent/runtimes/fake/driver.ts';
import type { PullOptions } from '#agent/runtimes/types.ts';
import { ImagePuller, imagePullerDefaults, type PullRequest } from './puller.ts';
import { ImageRecords } from './records.ts';
import { parseRegistries } from './registries.ts';

let dir: string;
let clock: ManualClock;
let driver: FakeDriver;
const signal = new AbortController().signal;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cleat-puller-'));
  clock = new ManualClock();
  driver = new FakeDriver(clock);
  for (const name of ['a', 'b', 'c', 'd']) driver.registry.set(name, `sha256:${name}`);
});
afterEach(async () => { await rm(dir, { recursive: true, force: true }); });

const request = (image: string, more: Partial<PullRequest> = {}): PullRequest => ({ image, keyring: [], presentWillDo: false, ...more });
/** Holds pulls of an image until it is let go; tells how many began. */
function hold(...images: string[]): { began: () => string[]; release: (image: string) => void } {
  const began: string[] = [];
  const gates = new Map(images.map((image) => [image, Promise.withResolvers<undefined>()]));
  for (const [image, gate] of gates) driver.pulling.set(image, async () => { began.push(image); await gate.promise; });
  return { began: () => began, release: (image) => gates.get(image)?.resolve(undefined) };
}
const settle = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve); });

describe('pulls', () => {
  it('are few at once, in order', async () => {
    const puller = new ImagePuller({ driver, clock, log: silentLog }, { ...imagePullerDefaults, maxParallel: 2 });
    const gate = hold('a', 'b', 'c');
    const all = ['a', 'b', 'c'].map((image) => puller.pull(request(image), signal));
    await settle();
    expect(gate.began()).toEqual(['a', 'b']);
    gate.release('a');
    await all[0];
    await settle();
    expect(gate.began()).toEqual(['a', 'b', 'c']);
    gate.release('b');
    gate.release('c');
    await Promise.all(all);
  });

  it('of one image are one after the other, and the second takes what the first brought if that will do', async () => {
    const puller = new ImagePuller({ driver, clock, log: silentLog });
    const gate = hold('a');
    const all = [puller.pull(request('a'), signal), puller.pull(request('a', { presentWillDo: true }), signal), puller.pull(request('docker.io/library/a:latest', { presentWillDo: true }), signal).catch((error: unknown) => error)];
    await settle();
    expect(gate.began()).toEqual(['a']);
    gate.release('a');
    await Promise.all(all);
    expect(driver.calls.filter((call) => call === 'pull a')).toHaveLength(1);
  });

  it('that wait for their turn can be given up', async () => {
    const puller = new ImagePuller({ driver, clock, log: silentLog }, { ...imagePullerDefaults, maxParallel: 1 });
    const gate = hold('a', 'b');
    const first = puller.pull(request('a'), signal);
    const stop = new AbortController();
    const second = puller.pull(request('b'), stop.signal);
    await settle();
    stop.abort(new Error('not wanted'));
    await expect(second).rejects.toThrow('not wanted');
    const third = puller.pull(request('c'), signal);
    gate.release('a');
    await Promise.all([first, third]);
    expect(gate.began()).toEqual(['a']);
  });

  it('try the pod\'s credentials before the node\'s, and go without only where there are none', async () => {
    const registries = parseRegistries({ configs: { 'r.example': { auth: { username: 'node', password: 'n' } } } });
    const puller = new ImagePuller({ driver, clock, log: silentLog }, { ...imagePullerDefaults, registries });
    const tried: (string | undefined)[] = [];
    const refuse = (good: string | undefined) => (options: PullOptions): Promise<void> => {
      tried.push(options.auth?.username);
      return options.auth?.username === good ? Promise.resolve() : Promise.reject(new StatusError('InternalError', `no ${String(options.auth?.username)}`));
    };
    driver.registry.set('r.example/app', 'sha256:r');
    driver.pulling.set('r.example/app', refuse('node'));
    driver.pulling.set('a', refuse(undefined));
    const keyring = [['r.example', { username: 'pod', password: 'p' }]] as const;
    await puller.pull(request('r.example/app', { keyring }), signal);
    await puller.pull(request('a', { keyring }), signal);
    expect(tried).toEqual(['pod', 'node', undefined]);
    driver.pulling.set('r.example/app', refuse('nobody'));
    await expect(puller.pull(request('r.example/app', { keyring }), signal)).rejects.toThrow('no node');
  });

  it('tell of their progress, less and less often', async () => {
    const puller = new ImagePuller({ driver, clock, log: silentLog });
    const told: number[] = [];
    const end = Promise.withResolvers<undefined>();
    let report: PullOptions['progress'];
    driver.pulling.set('a', async ({ progress }) => { report = progress; await end.promise; });
    const pull = puller.pull(request('a', { progress: ({ doneBytes }, elapsedMs) => { told.push(elapsedMs / 1000); expect(doneBytes).toBeGreaterThan(0); } }), signal);
    await settle();
    for (let second = 1; second <= 700; second++) {
      report?.({ doneBytes: second, totalBytes: 1000 });
      await clock.advance(1000);
    }
    end.resolve(undefined);
    expect(await pull).toMatchObject({ id: 'sha256:a', tookMs: 700_000 });
    expect(told).toEqual([10, 20, 40, 80, 160, 320, 640]);
  });

  it('are given up when nothing comes any more, but not while they unpack', async () => {
    const puller = new ImagePuller({ driver, clock, log: silentLog });
    let report: PullOptions['progress'];
    const wait = async ({ progress }: PullOptions, stop: AbortSignal): Promise<void> => {
      report = progress;
      await new Promise((_resolve, reject) => { stop.addEventListener('abort', () => { reject(stop.reason as Error); }, { once: true }); });
    };
    driver.pulling.set('a', wait);
    const pull = puller.pull(request('a'), signal);
    pull.catch(() => undefined);
    await settle();
    report?.({ doneBytes: 10, totalBytes: 10 });
    await clock.advance(3_600_000);
    report?.({ doneBytes: 10, totalBytes: 20 });
    await clock.advance(310_000);
    await expect(pull).rejects.toMatchObject({ code: 'Timeout', message: 'nothing came of the download for 300 s; it is begun again where it stands' });
  });

  it('note what they bring only where people keep images, too, and only what was not there', async () => {
    const records = await ImageRecords.open(join(dir, 'images.json'), silentLog);
    const puller = new ImagePuller({ driver, clock, log: silentLog, records });
    await puller.pull(request('a'), signal);
    driver.sharesImages = true;
    driver.images.set('b', 'sha256:b');
    await puller.pull(request('b'), signal);
    await puller.pull(request('c'), signal);
    const again = await ImageRecords.open(join(dir, 'images.json'), silentLog);
    expect(['a', 'b', 'c'].map((name) => again.isPulled(`docker.io/library/${name}:latest`))).toEqual([false, false, true]);
  });

  it('note what their names stood for before, where that came by a pull, too', async () => {
    const records = await ImageRecords.open(join(dir, 'images.json'), silentLog);
    const puller = new ImagePuller({ driver, clock, log: silentLog, records });
    driver.sharesImages = true;
    driver.images.set('b', 'sha256:b');
    for (const version of ['1', '2', '2']) {
      for (const name of ['a', 'b']) {
        driver.registry.set(name, `sha256:${name}${version}`);
        await puller.pull(request(name), signal);
      }
    }
    expect(['sha256:a1', 'sha256:a2', 'sha256:b', 'sha256:b1', 'sha256:b2'].map((id) => records.isPulled(id))).toEqual([true, false, false, false, false]);
  });

  it('make what is in no registry', async () => {
    const puller = new ImagePuller({ driver, clock, log: silentLog, localImages: new Map([['own', () => { driver.images.set('own', 'sha256:own'); return Promise.resolve(); }]]) });
    expect(await puller.pull(request('own'), signal)).toMatchObject({ id: 'sha256:own' });
    expect(driver.calls).toEqual([]);
  });
});
