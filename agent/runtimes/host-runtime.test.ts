import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { chooseRuntime, HostRuntime, type RuntimeChoice } from './host-runtime.ts';
import type { OpenDriver, RuntimeDriver } from './types.ts';

it('waits for a runtime that ends right after its first answer', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'cleat-host-runtime-'));
  try {
    for (const plugin of ['ptp', 'host-local']) await writeFile(join(dir, plugin), '', { mode: 0o755 });
    const asked: string[] = [];
    const driver: Pick<RuntimeDriver, 'version' | 'setup' | 'imageId'> = {
      version: () => Promise.resolve('test://1'),
      setup: () => Promise.resolve({ cniBinDir: dir, cniConfDir: dir, handlers: [] }),
      imageId: (image) => {
        asked.push(image);
        return asked.length === 1 ? Promise.reject(new StatusError('ServiceUnavailable', 'connection dropped')) : Promise.resolve('sha256:1');
      },
    };
    const runtime = new HostRuntime({ drivers: { cri: () => Promise.resolve(driver as RuntimeDriver) }, log: silentLog, clock: systemClock }, { stateDir: dir, searchPath: '' }, { driver: 'cri', endpoint: join(dir, 'socket') });
    expect((await runtime.open('node', AbortSignal.timeout(10_000))).driver).toBe(driver);
    expect(new Set(asked).size).toBe(1);
    expect(asked).toHaveLength(2);
  } finally {
    await rm(dir, { recursive: true });
  }
});

describe('of what a host has, a runtime is chosen', () => {
  let dir: string;
  beforeEach(async () => { dir = await mkdtemp(join(tmpdir(), 'cleat-choice-')); });
  afterEach(async () => { await rm(dir, { recursive: true }); });

  const own = { driver: 'cri', endpoint: '' };
  type Engine = 'cri' | 'ctr' | 'docker';
  /** Which engine listens on which socket; others get no answer there. */
  async function choose(has: { programs?: string[]; listening?: Partial<Record<string, Engine>> }, asked: { runtime?: string; endpoint?: string } = {}, before?: RuntimeChoice): Promise<RuntimeChoice> {
    for (const socket of Object.keys(has.listening ?? {})) await writeFile(join(dir, socket), '');
    const open = (name: Engine): OpenDriver => (_deps, { endpoint }) => {
      const there = has.listening?.[endpoint.slice(dir.length + 1)];
      // A containerd answers ctr whether or not its CRI is on, and says of CRI that it does not know it.
      const isAnswered = there === name || (there === 'cri' && name === 'ctr');
      const refusal = new StatusError(there === 'ctr' && name === 'cri' ? 'MethodNotAllowed' : 'ServiceUnavailable', 'nothing of that kind');
      return Promise.resolve({ version: () => (isAnswered ? Promise.resolve('1') : Promise.reject(refusal)) } as unknown as RuntimeDriver);
    };
    const { runtime = '', endpoint = '' } = asked;
    const deps = { drivers: { cri: open('cri'), ctr: open('ctr'), docker: open('docker') }, isInstalled: (program: string) => Promise.resolve(has.programs?.includes(program) === true), log: silentLog, clock: systemClock };
    return chooseRuntime(deps, { stateDir: dir, searchPath: '', sockets: { docker: join(dir, 'docker'), ctr: join(dir, 'containerd') } }, { runtime, endpoint: endpoint === '' ? '' : join(dir, endpoint) }, before, AbortSignal.timeout(10_000));
  }
  const at = (driver: Engine, socket: string): RuntimeChoice => ({ driver, endpoint: join(dir, socket) });

  it('the best that there is', async () => {
    expect(await choose({ listening: { docker: 'docker', containerd: 'ctr' } })).toEqual(at('docker', 'docker'));
    expect(await choose({ listening: { docker: 'cri', containerd: 'ctr' } })).toEqual(at('ctr', 'containerd'));
    expect(await choose({})).toEqual(own);
    expect(await choose({ programs: ['containerd'], listening: { docker: 'docker' } })).toEqual(at('docker', 'docker'));
    expect(await choose({ programs: ['containerd', 'runc'], listening: { docker: 'docker', containerd: 'ctr' } })).toEqual(own);
  });

  it('that it had before, as long as nobody asks for another', async () => {
    const programs = ['containerd', 'runc'];
    const before = { driver: 'docker', endpoint: '/docker' };
    expect(await choose({ programs }, {}, before)).toEqual(before);
    expect(await choose({ programs }, { runtime: 'ctr' }, before)).toEqual(at('ctr', 'containerd'));
    expect(await choose({ programs }, { runtime: 'cri' }, before)).toEqual(own);
    expect(await choose({ programs }, { runtime: 'docker', endpoint: 'elsewhere' }, own)).toEqual(at('docker', 'elsewhere'));
  });

  it('that listens on the socket that was named', async () => {
    for (const engine of ['cri', 'ctr', 'docker'] as const) expect(await choose({ listening: { some: engine } }, { endpoint: 'some' })).toEqual(at(engine, 'some'));
  });

  it('and told in words', () => {
    const words = (choice: RuntimeChoice): string => new HostRuntime({ drivers: {}, log: silentLog, clock: systemClock }, { stateDir: dir, searchPath: '' }, choice).description;
    expect([words({ driver: 'ctr', endpoint: 'unix:///run/c.sock' }), words({ driver: 'docker', endpoint: '/run/d.sock' })]).toEqual(['ctr unix:///run/c.sock', 'docker unix:///run/d.sock']);
    expect(words(own)).toMatch(/^cri unix:\/\/\/.*containerd.*\.sock$/);
  });
});
