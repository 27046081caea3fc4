import { beforeEach, describe, expect, it, test } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { ImagePuller } from '#agent/images/puller.ts';
import { FakeDriver } from '#agent/runtimes/fake/driver.ts';
import { ensureImage, type ImageOutcome } from './images.ts';

let driver: FakeDriver;
let events: string[];
const signal = new AbortController().signal;
beforeEach(() => {
  driver = new FakeDriver(new ManualClock());
  events = [];
});

function ensure(image: string, imagePullPolicy?: string, isAlone = false): Promise<ImageOutcome> {
  const clock = new ManualClock();
  return ensureImage({ driver, puller: new ImagePuller({ driver, clock, log: silentLog }), isAlone, nowMs: () => clock.monotonic(), event: (type, reason, message) => { events.push(`${type} ${reason}: ${message}`); } }, { image, ...(imagePullPolicy !== undefined && { imagePullPolicy }) }, [], signal);
}

describe('policies', () => {
  test.each<[policy: string | undefined, image: string, present: boolean, pulls: boolean]>([
    ['Always', 'app:1', true, true], ['IfNotPresent', 'app:1', true, false], ['IfNotPresent', 'app:1', false, true], ['Never', 'app:1', true, false],
    [undefined, 'app:1', true, false], [undefined, 'app', true, true], [undefined, 'app:latest', true, true], [undefined, 'r.example:5000/app', true, true],
    [undefined, `app@sha256:${'a'.repeat(64)}`, true, false], [undefined, `app:latest@sha256:${'a'.repeat(64)}`, true, false],
  ])('%s for %s, here: %s, pulls: %s', async (policy, image, present, pulls) => {
    driver.registry.set(image, 'sha256:1');
    if (present) driver.images.set(image, 'sha256:1');
    expect(await ensure(image, policy)).toEqual({ ok: true });
    expect(driver.calls).toEqual(pulls ? [`pull ${image}`] : []);
    expect(events).toEqual(pulls ? [`Normal Pulling: Pulling image "${image}"`, `Normal Pulled: Successfully pulled image "${image}" in 0s (0s including waiting). Image size: 1048576 bytes.`] : [`Normal Pulled: Container image "${image}" already present on machine`]);
  });

  it('are nothing to wait for while the control plane is away, if the image is here', async () => {
    driver.images.set('app', 'sha256:1');
    expect(await ensure('app', 'Always', true)).toEqual({ ok: true });
    expect([driver.calls, events]).toEqual([[], ['Normal Pulled: Container image "app" already present on machine, and not asked for again while the control plane is away']]);
    driver.registry.set('other', 'sha256:2');
    expect(await ensure('other', 'Always', true)).toEqual({ ok: true });
    expect(driver.calls).toEqual(['pull other']);
  });

  it('say what is wrong in kubelet\'s words', async () => {
    expect(await ensure('app:1', 'Never')).toEqual({ ok: false, reason: 'ErrImageNeverPull', message: 'Container image "app:1" is not present with pull policy of Never' });
    expect(await ensure('Not A Name')).toMatchObject({ ok: false, reason: 'InvalidImageName', message: expect.stringContaining('invalid reference format') as string });
    driver.failures.set('pullImage', [new StatusError('InternalError', 'no way there')]);
    expect(await ensure('app:1')).toEqual({ ok: false, reason: 'ErrImagePull', message: 'no way there' });
    driver.failures.set('imageId', [new StatusError('InternalError', 'the table is torn')]);
    expect(await ensure('app:1')).toEqual({ ok: false, reason: 'ImageInspectError', message: 'Failed to inspect image "app:1": the table is torn' });
    driver.failures.set('imageId', [new StatusError('ServiceUnavailable', 'nobody listens')]);
    await expect(ensure('app:1')).rejects.toMatchObject({ code: 'ServiceUnavailable' });
    expect(events.map((event) => event.split(':')[0])).toEqual(['Warning ErrImageNeverPull', 'Warning InspectFailed', 'Normal Pulling', 'Warning Failed', 'Warning InspectFailed']);
  });
});
