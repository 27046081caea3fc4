import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { ManualClock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { containerConfig, sandboxConfig } from '#agent/runtimes/test-configs.ts';
import { FakeDriver } from '#agent/runtimes/fake/driver.ts';
import type { AgentEvent } from '#agent/session/types.ts';
import { ImageCollector, imageCollectorDefaults, type ImageCollectorConfig } from './collector.ts';
import { ImageRecords } from './records.ts';

const mib = 1 << 20;
let dir: string;
let clock: ManualClock;
let driver: FakeDriver;
let records: ImageRecords;
let desired: Pod[];
let known: boolean;
let disk: { totalBytes: number; availableBytes: number };
let events: AgentEvent[];
let stop: AbortController;
let running: Promise<void> | undefined;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cleat-collector-'));
  clock = new ManualClock();
  driver = new FakeDriver(clock);
  records = await ImageRecords.open(join(dir, 'images.json'), silentLog);
  [desired, known, events, stop, running] = [[], true, [], new AbortController(), undefined];
  disk = { totalBytes: 1000 * mib, availableBytes: 900 * mib };
});
afterEach(async () => {
  stop.abort();
  await running;
  await rm(dir, { recursive: true, force: true });
});

function collector(config: Partial<ImageCollectorConfig> = {}): ImageCollector {
  const state = { list: <T extends KubeObject>() => desired as KubeObject[] as T[], get known() { return known; }, reliable: true };
  return new ImageCollector({ driver, records, clock, log: silentLog, state, events: { emit: (event) => { events.push(event); } }, disk: () => Promise.resolve(disk) }, { ...imageCollectorDefaults, nodeName: 'pi', systemImages: ['cleat.dev/pause:1'], ...config });
}
/** Each a megabyte. */
function have(...names: string[]): void {
  for (const name of names) driver.images.set(name, `sha256:${name}`);
}
const left = (): string[] => [...driver.images.keys()];
const podOf = (image: string): Pod => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', uid: 'p' }, spec: { containers: [{ name: 'c', image }] } });
async function start(one: ImageCollector): Promise<void> {
  running = one.start(stop.signal);
  // It looks once before it first sleeps.
  await clock.advance(1);
}

describe('images that nobody needs', () => {
  it('go when the disk is nearly full, the longest unused first, and no more than need be', async () => {
    have('cleat.dev/pause:1', 'r.io/old:1', 'r.io/used:1', 'r.io/loaded:1', 'r.io/desired:1', 'r.io/volume:1');
    await records.noteLoaded(['r.io/loaded:1']);
    const mounts: Pod = { ...podOf('r.io/desired:1'), spec: { containers: [], volumes: [{ name: 'v', image: { reference: 'r.io/volume:1' } }] } };
    desired = [podOf('r.io/used:1'), podOf('r.io/desired:1'), mounts];
    await start(collector());
    await clock.advance(300_000);
    expect(left()).toHaveLength(6);
    desired = [podOf('r.io/desired:1'), mounts];
    disk = { totalBytes: 1000 * mib, availableBytes: 199 * mib };
    await clock.advance(300_000);
    expect(left()).toHaveLength(6); // 80.1 % full is not too full
    disk = { totalBytes: 1000 * mib, availableBytes: 150 * mib - 1 };
    // 80 % may be used: 50 MiB are to go, more than there is.
    await clock.advance(300_000);
    expect(left()).toEqual(['cleat.dev/pause:1', 'r.io/loaded:1', 'r.io/desired:1', 'r.io/volume:1']);
    expect(driver.calls.filter((call) => call.startsWith('remove-image'))).toEqual(['remove-image r.io/old:1', 'remove-image r.io/used:1']);
    expect(events).toMatchObject([{ kind: 'Node', name: 'pi', type: 'Warning', reason: 'FreeDiskSpaceFailed', message: `Failed to garbage collect required amount of images. Attempted to free ${String(50 * mib + 1)} bytes, but only found ${String(2 * mib)} bytes eligible to free.` }]);
  });

  it('stay when enough is free after fewer of them', async () => {
    have('r.io/a:1', 'r.io/b:1', 'r.io/c:1');
    await start(collector({ highPercent: 85, lowPercent: 85 }));
    disk = { totalBytes: 1000 * mib, availableBytes: 150 * mib - 1 };
    await clock.advance(300_000);
    expect(left()).toEqual(['r.io/b:1', 'r.io/c:1']);
    expect(events).toEqual([]);
  });

  it('are kept for a while when they have just come', async () => {
    const one = collector();
    await start(one);
    have('r.io/new:1');
    expect(await one.reclaim(stop.signal)).toBe(false);
    await clock.advance(119_000);
    expect(await one.reclaim(stop.signal)).toBe(false);
    await clock.advance(2000);
    expect(await one.reclaim(stop.signal)).toBe(true);
    expect(left()).toEqual([]);
  });

  it('go when they are too old, if that is asked for', async () => {
    have('r.io/idle:1', 'r.io/busy:1');
    desired = [podOf('r.io/busy:1')];
    await start(collector({ maxAgeMs: 3_600_000 }));
    await clock.advance(3_600_000);
    expect(left()).toHaveLength(2);
    await clock.advance(300_000);
    expect(left()).toEqual(['r.io/busy:1']);
    desired = [];
    await clock.advance(3_300_000);
    expect(left()).toEqual(['r.io/busy:1']);
    await clock.advance(900_000);
    expect(left()).toEqual([]);
  });

  it('are not judged before the control plane has said what is needed', async () => {
    have('r.io/a:1');
    known = false;
    const one = collector({ minAgeMs: 0 });
    await start(one);
    disk = { totalBytes: 1000 * mib, availableBytes: mib };
    await clock.advance(900_000);
    expect([await one.reclaim(stop.signal), left()]).toEqual([false, ['r.io/a:1']]);
    await expect(one.prune({ dryRun: false, loaded: true }, stop.signal)).rejects.toMatchObject({ code: 'ServiceUnavailable' });
  });

  it('that cannot be removed do not keep the others', async () => {
    have('r.io/a:1', 'r.io/b:1');
    driver.failures.set('removeImage', [new StatusError('Conflict', 'in use')]);
    const one = collector({ minAgeMs: 0 });
    await start(one);
    expect([await one.reclaim(stop.signal), left()]).toEqual([true, ['r.io/a:1']]);
    have('r.io/b:1', 'r.io/c:1');
    driver.failures.set('removeImage', [new StatusError('Conflict', 'in use')]);
    await expect(one.prune({ dryRun: false, loaded: false }, stop.signal)).rejects.toMatchObject({ code: 'Conflict', message: '2 images were removed, and r.io/a:1 was not: in use' });
    expect(left()).toEqual(['r.io/a:1']);
    driver.failures.set('listImages', [new StatusError('ServiceUnavailable', 'gone')]);
    await clock.advance(300_000);
    expect(events).toMatchObject([{ reason: 'ImageGCFailed', message: 'gone' }]);
  });
});

describe('images that are needed', () => {
  it('are those of containers, whoever\'s and whether they run', async () => {
    have('r.io/a:1', 'r.io/b:1');
    const sandbox = sandboxConfig(dir);
    await driver.createContainer(await driver.runSandbox(sandbox), sandbox, containerConfig('', { image: 'r.io/a:1' }));
    expect(await collector().prune({ dryRun: false, loaded: true }, stop.signal)).toMatchObject([{ names: ['r.io/b:1'] }]);
  });

  it('are what people keep, where they keep images, too', async () => {
    driver.sharesImages = true;
    have('docker.io/library/mine:1', 'docker.io/library/pulled:1');
    await records.notePulled('docker.io/library/pulled:1');
    const one = collector();
    expect((await one.list(stop.signal)).map(({ names, keptFor }) => [names[0], keptFor])).toEqual([['docker.io/library/mine:1', 'other'], ['docker.io/library/pulled:1', undefined]]);
    await one.prune({ dryRun: false, loaded: false }, stop.signal);
    expect([left(), records.isPulled('docker.io/library/pulled:1')]).toEqual([['docker.io/library/mine:1'], false]);
  });

  it('are not what a pulled name stood for before, and are what somebody has named himself', async () => {
    driver.sharesImages = true;
    driver.images.set('docker.io/library/app@sha256:1', 'sha256:former');
    for (const name of ['docker.io/library/app:latest', 'docker.io/library/app@sha256:2']) driver.images.set(name, 'sha256:current');
    for (const name of ['docker.io/library/base:1', 'docker.io/library/mine:1']) driver.images.set(name, 'sha256:base');
    for (const name of ['docker.io/library/app:latest', 'docker.io/library/base:1', 'sha256:former']) await records.notePulled(name);
    const one = collector();
    expect((await one.list(stop.signal)).map(({ id, keptFor }) => [id, keptFor])).toEqual([['sha256:former', undefined], ['sha256:current', undefined], ['sha256:base', 'other']]);
    await one.prune({ dryRun: false, loaded: false }, stop.signal);
    expect([left(), records.isPulled('sha256:former')]).toEqual([['docker.io/library/base:1', 'docker.io/library/mine:1'], false]);
  });

  it('are called by any of their names', async () => {
    have('docker.io/library/app:latest', 'docker.io/library/other:1');
    desired = [podOf('app')];
    expect(await collector().prune({ dryRun: true, loaded: false }, stop.signal)).toMatchObject([{ names: ['docker.io/library/other:1'] }]);
    expect(left()).toHaveLength(2);
  });

  it('are those that were loaded, until that is taken back', async () => {
    have('r.io/a:1');
    await records.noteLoaded(['r.io/a:1']);
    const one = collector();
    expect(await one.prune({ dryRun: false, loaded: false }, stop.signal)).toEqual([]);
    desired = [podOf('r.io/a:1')];
    expect(await one.prune({ dryRun: false, loaded: true }, stop.signal)).toEqual([]);
    expect(await one.list(stop.signal)).toMatchObject([{ keptFor: 'pod', isLoaded: true }]);
    desired = [];
    expect(await one.prune({ dryRun: false, loaded: true }, stop.signal)).toHaveLength(1);
    expect((await ImageRecords.open(join(dir, 'images.json'), silentLog)).isLoaded('r.io/a:1')).toBe(false);
  });
});
