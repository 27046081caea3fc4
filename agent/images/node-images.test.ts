import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { FakeDriver } from '#agent/runtimes/fake/driver.ts';
import type { AgentEvent } from '#agent/session/types.ts';
import { imageCollectorDefaults } from './collector.ts';
import { NodeImages } from './node-images.ts';

let dir: string;
let events: AgentEvent[];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cleat-node-images-'));
  events = [];
});
afterEach(async () => { await rm(dir, { recursive: true, force: true }); });

function open(): Promise<NodeImages> {
  const clock = new ManualClock();
  return NodeImages.open(
    { driver: new FakeDriver(clock), clock, log: silentLog, state: { list: () => [], known: true, reliable: true }, events: { emit: (event) => { events.push(event); } } },
    { ...imageCollectorDefaults, nodeName: 'pi', systemImages: [], stateDir: dir, registriesPath: join(dir, 'registries.yaml'), registryHostsDir: join(dir, 'certs.d'), maxParallelPulls: 1 },
  );
}

it('tells the runtime what the host says of registries', async () => {
  await open();
  expect(await readdir(join(dir, 'certs.d'))).toEqual([]);
  await writeFile(join(dir, 'registries.yaml'), 'mirrors: {docker.io: {endpoint: ["http://10.0.0.1"]}}');
  await open();
  expect(await readFile(join(dir, 'certs.d/docker.io/hosts.toml'), 'utf8')).toContain('[host."http://10.0.0.1"]');
  expect(events).toEqual([]);
});

it('goes on without a file that makes no sense, leaves what the runtime knows, and says so', async () => {
  await writeFile(join(dir, 'registries.yaml'), 'mirrors: {docker.io: {endpoint: ["http://10.0.0.1"]}}');
  await open();
  await writeFile(join(dir, 'registries.yaml'), 'mirrors: nonsense');
  await open();
  expect(events).toMatchObject([{ kind: 'Node', name: 'pi', type: 'Warning', reason: 'InvalidRegistries', message: expect.stringContaining('mirrors must be a map') as string }]);
  expect(await readdir(join(dir, 'certs.d'))).toEqual(['docker.io']);
});
