import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { afterEach, expect, it } from 'vitest';
import { systemClock, type Clock } from '#common/clock.ts';
import { loadConfig } from '#common/config.ts';
import { silentLog } from '#common/log.ts';
import { eventually } from '#test/support/lab/eventually.ts';
import { controlPlaneSettings } from './config.ts';
import { ControlPlane } from './main.ts';
import { freePort } from '#test/support/free-port.ts';

const dayMs = 86_400_000;

/** Real time, but for waits of an hour and more: those end when the test lets days pass. */
class CalendarClock implements Clock {
  #offsetMs = 0;
  #waiting: { atMs: number; resolve: () => void }[] = [];

  now(): number { return Date.now() + this.#offsetMs; }
  monotonic(): number { return systemClock.monotonic() + this.#offsetMs; }
  after(ms: number, fn: () => void): () => void { return systemClock.after(ms, fn); }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (ms < 3_600_000) return systemClock.sleep(ms, signal);
    await new Promise<void>((resolve, reject) => {
      this.#waiting.push({ atMs: this.now() + ms, resolve });
      signal.addEventListener('abort', () => { reject(signal.reason as Error); }, { once: true });
    });
  }

  pass(ms: number): void {
    this.#offsetMs += ms;
    const due = this.#waiting.filter(({ atMs }) => atMs <= this.now());
    this.#waiting = this.#waiting.filter((wait) => !due.includes(wait));
    for (const { resolve } of due) resolve();
  }
}

let cleanUp: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const work of cleanUp.reverse()) await work();
  cleanUp = [];
});

it('renews its certificates while it runs, and drops no connection for it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cleat-controlplane-'));
  cleanUp.push(() => { rmSync(folder, { recursive: true }); return Promise.resolve(); });
  const port = await freePort();
  const kubeconfig = join(folder, 'kubeconfig');
  const { values } = loadConfig('cleat controlplane', controlPlaneSettings, [`--state-dir=${folder}`, `--kubeconfig=${kubeconfig}`, `--port=${String(port)}`, '--bind-address=127.0.0.1', '--advertise-address=127.0.0.1'], {}, '/nonexistent');
  const clock = new CalendarClock();
  const controlPlane = new ControlPlane({ log: silentLog, clock, configFile: '' }, values);
  const stop = new AbortController();
  const ended = controlPlane.start(stop.signal);
  cleanUp.push(async () => { stop.abort(new Error('the test has ended')); await ended; });
  await controlPlane.ready;

  const dial = async (): Promise<TLSSocket> => {
    const socket = connect({ host: '127.0.0.1', port, ca: readFileSync(join(folder, 'server/pki/ca.crt')), ALPNProtocols: ['http/1.1'] });
    await once(socket, 'secureConnect');
    return socket;
  };
  const serial = async (): Promise<string> => {
    const socket = await dial();
    const { serialNumber } = socket.getPeerCertificate();
    socket.destroy();
    return serialNumber;
  };
  const open = await dial();
  const before = { serving: await serial(), admin: readFileSync(kubeconfig, 'utf8') };
  clock.pass(100 * dayMs);
  expect(await serial()).toBe(before.serving);
  clock.pass(200 * dayMs);
  // It looks every hour; how far it had come with the look before is not ours to know.
  await eventually(async () => { clock.pass(dayMs); return (await serial()) !== before.serving; }, { what: 'another certificate to be served' });
  await eventually(() => readFileSync(kubeconfig, 'utf8') !== before.admin, { what: 'the kubeconfig to hold another certificate' });
  open.write('GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  const [answer] = await once(open, 'data') as [Buffer];
  expect(answer.toString()).toContain('200 OK');
});
