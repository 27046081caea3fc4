import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { execOk } from '#common/exec.ts';
import { silentLog } from '#common/log.ts';
import { helloSpec, hostArchitecture, imageArchive } from '#install/images.ts';
import { containerConfig, sandboxConfig } from '../test-configs.ts';
import { CtrDriver } from './driver.ts';
import { openCtrLab, type CtrLab } from './test-lab.ts';

describe('root file systems of containers that the agent mounts', () => {
  let lab: CtrLab;
  const signal = AbortSignal.timeout(200_000);

  beforeAll(async () => { lab = await openCtrLab(); });
  afterAll(async () => { await lab.close(); });

  /** Two layers, the upper of which replaces a file of the lower one. */
  async function importLayered(name: string): Promise<string> {
    const spec = helloSpec(hostArchitecture(), await readFile('/bin/busybox'));
    const file = (text: string) => ({ path: 'which', type: 'file', mode: 0o644, data: Buffer.from(`${text}\n`) }) as const;
    const [image = ''] = await lab.driver.importImage(Readable.from([imageArchive({ ...spec, name, files: [...spec.files, file('lower')], above: [[file(name)]] })]), signal);
    return image;
  }
  async function begin(driver: CtrDriver, image: string, script: string): Promise<{ readonly sandboxId: string; readonly id: string }> {
    const sandbox = sandboxConfig(join(lab.host.stateDir, 'logs'));
    await mkdir(sandbox.logDirectory, { recursive: true });
    const sandboxId = await driver.runSandbox(sandbox, signal);
    const id = await driver.createContainer(sandboxId, sandbox, containerConfig(script, { image }), signal);
    await driver.startContainer(id, signal);
    return { sandboxId, id };
  }
  const said = async (driver: CtrDriver, id: string, command: string): Promise<string> => (await driver.exec(id, ['sh', '-c', command], 10_000, signal)).output;
  const snapshots = async (kind: 'Active' | 'View'): Promise<string[]> => (await execOk('ctr', ['-a', lab.host.containerd, '-n', 'cleat', 'snapshots', 'ls'])).split('\n').filter((line) => line.endsWith(` ${kind}`) || line.includes(` ${kind} `)).map((line) => line.split(' ')[0] ?? '');

  it('show the image, keep what each writes apart, and need one view of the layers for all', async () => {
    const image = await importLayered('docker.io/library/layered:1');
    const pods = await Promise.all(['one', 'two'].map((word) => begin(lab.driver, image, `echo ${word} > /own; sleep 1000`)));
    for (const [i, { id }] of pods.entries()) await expect.poll(() => said(lab.driver, id, 'cat /which /own; stat -c %a /')).toBe(`docker.io/library/layered:1\n${['one', 'two'][i] ?? ''}\n755\n`);
    expect([await snapshots('Active'), (await snapshots('View')).length]).toEqual([[], 1]);
    expect((await lab.driver.written(pods.map(({ id }) => id), signal)).get(pods[0]?.id ?? '')).toMatchObject({ withState: true, inodes: expect.any(Number) as number });
    // An image that goes while containers run leaves them what they have; its layers go when images are looked for next, and nobody is there.
    const listed = (await lab.driver.listImages(signal)).find(({ names }) => names.includes(image));
    if (listed) await lab.driver.removeImage(listed, signal);
    expect(await said(lab.driver, pods[1]?.id ?? '', 'cat /which')).toBe('docker.io/library/layered:1\n');
    for (const { sandboxId } of pods) await lab.driver.removeSandbox(sandboxId, signal);
    expect(await snapshots('View')).toHaveLength(1);
    await lab.driver.listImages(signal);
    expect(await snapshots('View')).toEqual([]);
  });

  it('are known to the next agent, which lets go of layers that nobody has', async () => {
    const image = await importLayered('docker.io/library/layered:3');
    const [kept, gone] = [await begin(lab.driver, image, 'sleep 1000'), await begin(lab.driver, await importLayered('docker.io/library/layered:4'), 'sleep 1000')];
    expect(await snapshots('View')).toHaveLength(2);
    await lab.driver.removeSandbox(gone.sandboxId, signal);
    const next = lab.connect();
    await next.list(signal);
    expect(await snapshots('View')).toHaveLength(1);
    expect(await said(next, kept.id, 'cat /which')).toBe('docker.io/library/layered:3\n');
    await next.removeSandbox(kept.sandboxId, signal);
    // Another node's agent has nothing to say about them.
    await new CtrDriver({ clock: systemClock, log: silentLog }, { ...lab.config, stateDir: join(lab.host.stateDir, 'other'), owner: 'other' }).list(signal);
    expect(await snapshots('View')).toHaveLength(1);
    await next.letGo(signal);
    expect(await snapshots('View')).toEqual([]);
  });

  it('are made by containerd where the agent has a file system that overlays cannot write to', async () => {
    const image = await importLayered('docker.io/library/layered:5');
    const [place, ...dirs] = ['place', 'lower', 'upper', 'work'].map((name) => join(lab.host.stateDir, `over-${name}`));
    for (const dir of [place ?? '', ...dirs]) await mkdir(dir);
    await execOk('mount', ['-t', 'overlay', 'overlay', '-o', `lowerdir=${dirs[0] ?? ''},upperdir=${dirs[1] ?? ''},workdir=${dirs[2] ?? ''}`, place ?? '']);
    try {
      const driver = new CtrDriver({ clock: systemClock, log: silentLog }, { ...lab.config, stateDir: place ?? '', owner: `${lab.config.owner}-over` });
      const { sandboxId, id } = await begin(driver, image, 'sleep 1000');
      expect([await said(driver, id, 'cat /which'), await snapshots('Active')]).toEqual(['docker.io/library/layered:5\n', [id]]);
      await driver.removeSandbox(sandboxId, signal);
      expect(await snapshots('Active')).toEqual([]);
    } finally {
      await execOk('umount', ['-l', place ?? '']);
    }
  });
});
