import { expect, it } from 'vitest';
import type { Probe } from '#api/gen/types.ts';
import { ManualClock } from '#common/clock.ts';
import { testContainer } from '../testing.ts';
import { ContainerProbes } from './probes.ts';
import { ProbeSchedule } from './schedule.ts';

it('lets commands name the variables that their container has by its own words', async () => {
  const clock = new ManualClock();
  const asked: Probe[] = [];
  const spec = testContainer('app', {
    env: [{ name: 'PORT', value: '6379' }, { name: 'SECRET', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } }],
    livenessProbe: { exec: { command: ['ping', '--port=$(PORT)', '--as=$(SECRET)', '$(OTHER)', '$$(PORT)'] } },
  });
  const probes = new ContainerProbes({
    clock, schedule: new ProbeSchedule(clock), changed: () => undefined, tell: () => undefined, count: () => undefined,
    check: (probe) => { asked.push(probe); return Promise.resolve({ ok: true, output: '' }); },
  }, spec, { containerId: 'c', ip: '10.0.0.1', ports: new Map() }, clock.now(), false);
  await clock.advance(0);
  probes.stop();
  expect(asked).toEqual([{ exec: { command: ['ping', '--port=6379', '--as=', '$(OTHER)', '$(PORT)'] } }]);
});
