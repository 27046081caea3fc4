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
  ['auto', '/var/lib/cleat', 0xef53, '/var/log/pods'],
  ['auto', '/data/two', 0xef53, undefined],
  // tmpfs, as log2ram mounts it
  ['auto', '/var/lib/cleat', 0x1021994, undefined],
  ['/data/log/pods', '/var/lib/cleat', 0x1021994, '/data/log/pods'],
])('has logs of pods at %j, with state in %s and a /var/log of type %i, below %s', (podLogsDir, stateDir, type, found) => {
  expect(podLogsDirOf({ podLogsDir, stateDir }, (folder) => (folder === '/var/log' ? type : 0xef53))).toBe(found);
});
