import { describe, expect, it } from 'vitest';
import { devicePluginDirOf, kubeletDirOf, podLogsDirOf } from './config.ts';

describe('where plugins find an agent', () => {
  it.each([
    ['auto', '/var/lib/cleat', '/var/lib/kubelet/device-plugins', '/var/lib/kubelet'],
    ['auto', '/data/two', '/data/two/kubelet/device-plugins', '/data/two/kubelet'],
    ['/run/plugins', '/data/two', '/run/plugins', '/run'],
    ['', '/var/lib/cleat', '', ''],
  ])('%j with state in %s', (devicePluginDir, stateDir, plugins, kubelet) => {
    expect([devicePluginDirOf({ devicePluginDir, stateDir }), kubeletDirOf({ devicePluginDir, stateDir })]).toEqual([plugins, kubelet]);
  });
});

it.each([
  ['auto', '/var/lib/cleat', '/var/log/pods'],
  ['auto', '/data/two', undefined],
  ['/data/log/pods', '/var/lib/cleat', '/data/log/pods'],
])('has logs of pods at %j, with state in %s, below %s', (podLogsDir, stateDir, found) => {
  expect(podLogsDirOf({ podLogsDir, stateDir })).toBe(found);
});
