import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/lab/eventually.ts';
import type { LabHost } from '../support/lab/host.ts';
import { createLab, type Lab } from '../support/lab/lab.ts';
import type { LabProcess } from '../support/lab/process.ts';
import { RestClient, type Answer } from '../support/rest-client.ts';

const executable = join(import.meta.dirname, '../../cleat');
const path = '/api/v1/namespaces/default/configmaps';

/** The real executable on a small disk of its own. */
describe('a control plane and its disk', () => {
  let lab: Lab;
  let host: LabHost;
  let api: RestClient;
  let running: LabProcess;
  const acknowledged = new Set<string>();

  beforeAll(async () => {
    lab = await createLab({ hosts: 1, uplink: true });
    host = lab.host(0);
    await host.sh('mount -t tmpfs -o size=32m,mode=700 small /var/lib/cleat');
  });
  afterAll(async () => {
    api?.close();
    await lab?.destroy();
  });

  const spawn = (...flags: string[]): LabProcess => host.spawn('controlplane', executable, ['controlplane', `--advertise-address=${host.address}`, '--log-level=info', ...flags]);
  const start = async (...flags: string[]): Promise<void> => {
    running = spawn(...flags);
    await running.waitForOutput('is ready at', 20_000);
    api ??= new RestClient(host.path('/etc/cleat/kubeconfig'), host.address);
  };
  /** How a start that must fail ends. */
  const failed = async (...flags: string[]): Promise<{ code: number | null; output: string }> => {
    const process_ = spawn(...flags);
    const { code } = await process_.exited;
    return { code, output: process_.output() };
  };
  const write = async (name: string, bytes = 20_000): Promise<Answer> => {
    const answer = await api.send('POST', path, { metadata: { name }, data: { value: 'x'.repeat(bytes) } });
    if (answer.status === 201) acknowledged.add(name);
    return answer;
  };
  const names = async (): Promise<string[]> => ((await api.send('GET', path)).body.items ?? []).map((item) => item.metadata?.name ?? '').filter((name) => name.startsWith('w-'));
  const allThere = async (): Promise<void> => { expect((await names()).sort()).toEqual([...acknowledged].sort()); };
  const storeFiles = (pattern: RegExp): string[] => readdirSync(host.path('/var/lib/cleat/server/store')).filter((name) => pattern.test(name)).sort();

  it('says that the disk is full, loses nothing, and goes on when there is room', async () => {
    await start();
    for (let i = 0; i < 20; i++) expect((await write(`w-first-${String(i)}`)).status).toBe(201);
    await host.exec('sh', ['-c', 'head -c 100M /dev/zero > /var/lib/cleat/ballast']);
    let refused: Answer;
    for (let i = 0; ; i++) {
      refused = await write(`w-filling-${String(i)}`);
      if (refused.status !== 201) break;
    }
    expect(refused).toMatchObject({ status: 503, body: { kind: 'Status', status: 'Failure', reason: 'ServiceUnavailable', message: expect.stringMatching(/no space left/i) } });
    expect((await api.send('DELETE', `${path}/w-first-0`)).status).toBe(503);
    const health = await api.send('GET', '/readyz?verbose');
    expect([health.status, health.body.message]).toEqual([500, expect.stringMatching(/\[-\]store-writes failed: .*no space left/i)]);
    expect((await api.send('GET', '/livez')).status).toBe(200);
    await allThere();
    // Also a start finds all of it: room was kept aside for that.
    for (let i = 0; i < 2; i++) {
      await running.kill('SIGKILL');
      await start();
      await allThere();
    }
    expect((await write('w-refused')).status).toBe(503);
    await host.sh('rm /var/lib/cleat/ballast');
    await eventually(async () => (await api.send('GET', '/readyz')).status === 200, { what: 'the disk to be taken again, without a write', timeoutMs: 20_000, intervalMs: 100 });
    expect((await write('w-after')).status).toBe(201);
    await allThere();
    await running.kill('SIGKILL');
    await start();
    await allThere();
  });

  it('is alone on its state directory', async () => {
    const second = await failed('--port=7443', '--kubeconfig=/etc/cleat/second');
    expect(second).toEqual({ code: 1, output: expect.stringMatching(/in use by another process.*stop that one first/) });
    expect((await write('w-undisturbed')).status).toBe(201);
  });

  it('does not start on a disk that cannot be written, and says so', async () => {
    await running.kill();
    await host.sh('mount -o remount,ro /var/lib/cleat');
    const { code, output } = await failed();
    await host.sh('mount -o remount,rw /var/lib/cleat');
    expect([code, output]).toEqual([1, expect.stringMatching(/^error: .*\/var\/lib\/cleat.*(read-only)/im)]);
    await start();
    await allThere();
  });

  it('does not start on a damaged store until told to recover it, and then keeps the rest', async () => {
    for (let i = 0; i < 30; i++) await write(`w-more-${String(i)}`);
    await running.kill('SIGKILL');
    const [log = ''] = storeFiles(/\.log$/).slice(-1);
    const file = host.path(`/var/lib/cleat/server/store/${log}`);
    const bytes = readFileSync(file);
    bytes.fill(0x5a, bytes.length - 60_000, bytes.length - 58_000);
    writeFileSync(file, bytes);
    const { code, output } = await failed();
    expect([code, output]).toEqual([1, expect.stringMatching(/error: the store in .* is damaged: .*--store-recover/)]);
    await start('--store-recover');
    const left = await names();
    expect(left.length).toBeGreaterThan(acknowledged.size - 10);
    expect(left.length).toBeLessThan(acknowledged.size);
    expect(running.output()).toMatch(/store recovered: what is listed is lost/);
    expect((await host.sh('ls /var/lib/cleat/server')).split('\n')).toContain('store.before-recovery');
    acknowledged.clear();
    for (const name of left) acknowledged.add(name);
    expect((await write('w-later')).status).toBe(201);
    await running.kill();
    await start();
    await allThere();
  });
});
