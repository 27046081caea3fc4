import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { silentLog } from '#common/log.ts';
import { HostContact } from './contact.ts';

let folder: string;
beforeEach(async () => { folder = await mkdtemp(join(tmpdir(), 'contact-')); });
afterEach(async () => { await rm(folder, { recursive: true, force: true }); });

const host = { ms: 100_000, boot: 'one' };
const open = (): Promise<HostContact> => HostContact.open({ log: silentLog, uptimeMs: () => host.ms, bootId: () => Promise.resolve(host.boot) }, join(folder, 'run', 'contact'));
const written = async (ms: number): Promise<void> => { await vi.waitFor(async () => { expect(await readFile(join(folder, 'run', 'contact'), 'utf8')).toContain(String(ms)); }); };

describe('contact', () => {
  beforeEach(() => { Object.assign(host, { ms: 100_000, boot: 'one' }); });

  it('is as old as the newest heartbeat that was answered was when it was sent', async () => {
    const contact = await open();
    expect(contact.silentMs()).toBeUndefined();
    contact.heard(99_000);
    contact.heard(98_000);
    expect(contact.silentMs()).toBe(1000);
    host.ms += 5000;
    expect(contact.silentMs()).toBe(6000);
  });

  it('outlives an agent, but no boot', async () => {
    const contact = await open();
    contact.need(2000);
    contact.heard(99_000);
    await written(99_000);
    host.ms += 10_000;
    expect((await open()).silentMs()).toBe(11_000);
    host.ms = 50_000;
    expect((await open()).silentMs()).toBeUndefined();
    Object.assign(host, { ms: 200_000, boot: 'two' });
    expect((await open()).silentMs()).toBeUndefined();
  });

  it('takes garbage for none', async () => {
    const contact = await open();
    contact.need(2000);
    contact.heard(99_000);
    await written(99_000);
    for (const text of ['', '{', '[]', '{"bootId":"one","lastMs":"99000"}', '{"bootId":"one","lastMs":1e99}']) {
      await writeFile(join(folder, 'run', 'contact'), text);
      expect((await open()).silentMs()).toBeUndefined();
    }
  });

  it('is written only where it is needed, and hurries when it is needed more often', async () => {
    const contact = await open();
    const hurried = vi.fn<() => void>();
    contact.onHurry(hurried);
    contact.heard(98_000);
    contact.need(5000);
    contact.need(9000);
    contact.need(3000);
    expect(hurried).toHaveBeenCalledTimes(2);
    expect(contact.periodMs).toBe(3000);
    await written(98_000);
  });
});
