import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { Cni, type CniTarget } from './cni.ts';

const forever = new AbortController().signal;
const target: CniTarget = { containerId: 'abc', netns: '/proc/1/ns/net', podUid: 'u', podNamespace: 'default', podName: 'web' };

/** Plugins that note what they are called with; `second` adds an address to what it is given. */
function setUp(cniVersion: string) {
  const directory = mkdtempSync(join(tmpdir(), 'cleat-cni-'));
  const [confDir, binDir, log] = [join(directory, 'net.d'), join(directory, 'bin'), join(directory, 'log')];
  for (const folder of [confDir, binDir]) mkdirSync(folder);
  const result = JSON.stringify({ cniVersion, ips: [{ address: '10.42.0.2/24' }, { address: 'fd42::2/64' }] });
  for (const name of ['first', 'second']) {
    writeFileSync(join(binDir, name), `#!/bin/sh\necho "$CNI_COMMAND ${name} $(cat)" >> ${log}\n[ "$CNI_COMMAND" != ADD ] || echo '${result}'\n[ "$CNI_COMMAND" != CHECK ] || [ ! -e ${directory}/broken ] || { echo '{"code":11,"msg":"the link is gone"}'; exit 1; }\n`);
    chmodSync(join(binDir, name), 0o755);
  }
  writeFileSync(join(confDir, '10-x.conflist'), JSON.stringify({ cniVersion, name: 'x', plugins: [{ type: 'first' }, { type: 'second' }] }));
  const calls = (): [string, boolean][] => readFileSync(log, 'utf8').trim().split('\n').map((line) => [line.split(' ').slice(0, 2).join(' '), line.includes('prevResult')]);
  return { cni: new Cni({ clock: systemClock }, { confDir, binDirs: [binDir] }), directory, calls };
}

it('tells plugins what they answered when it checks and when it gives a network back', async () => {
  const { cni, directory, calls } = setUp('1.0.0');
  const network = await cni.network();
  if (!network) throw new Error('no network');
  expect(await cni.add(network, target, forever)).toEqual(['10.42.0.2', 'fd42::2']);
  await cni.check(network, target, forever);
  writeFileSync(join(directory, 'broken'), '');
  await expect(cni.check(network, target, forever)).rejects.toThrow('the link is gone');
  await cni.remove(network, target, forever);
  await cni.remove(network, target, forever);
  expect(calls()).toEqual([
    ['ADD first', false], ['ADD second', true], ['CHECK first', true], ['CHECK second', true], ['CHECK first', true],
    ['DEL second', true], ['DEL first', true], ['DEL second', false], ['DEL first', false],
  ]);
  expect(readdirSync(join(directory, 'results'))).toEqual([]);
});

it('asks nothing of plugins that their version does not know', async () => {
  const { cni, calls } = setUp('0.3.1');
  const network = await cni.network();
  if (!network) throw new Error('no network');
  await cni.add(network, target, forever);
  await cni.check(network, target, forever);
  await cni.remove(network, target, forever);
  expect(calls()).toEqual([['ADD first', false], ['ADD second', true], ['DEL second', false], ['DEL first', false]]);
});

it('collects what is kept of others than those that are there, and from 1.1 on asks plugins to do the same', async () => {
  const { cni, calls, directory } = setUp('1.1.0');
  const network = await cni.network();
  if (!network) throw new Error('no network');
  const other = { ...target, containerId: 'lost' };
  await cni.add(network, target, forever);
  await cni.add(network, other, forever);
  await cni.collect(() => Promise.resolve(new Set(['abc'])), forever);
  expect(readdirSync(join(directory, 'results'))).toEqual(['abc-eth0.json']);
  expect(calls().slice(4)).toEqual([['DEL second', true], ['DEL first', true], ['GC first', false], ['GC second', false]]);
  expect(readFileSync(join(directory, 'log'), 'utf8')).toContain('"cni.dev/valid-attachments":[{"containerID":"abc","ifname":"eth0"}]');
});

it('collects nothing while a network is being given, and gives none while it collects', async () => {
  const { cni, calls } = setUp('1.1.0');
  const network = await cni.network();
  if (!network) throw new Error('no network');
  const valid = new Set<string>();
  const ids = Array.from({ length: 6 }, (_, i) => `c${String(i)}`);
  await Promise.all(ids.map(async (containerId, i) => {
    valid.add(containerId);
    await Promise.all([cni.add(network, { ...target, containerId }, forever), ...(i % 2 === 0 ? [cni.collect(() => Promise.resolve(new Set(valid)), forever)] : [])]);
  }));
  const names = calls().map(([name]) => name);
  expect(names.filter((name) => name.startsWith('DEL'))).toEqual([]);
  expect(names.filter((name) => name === 'GC first')).toHaveLength(3);
});

it('leaves plugins alone that do not know how to collect, or may not', async () => {
  const { cni, calls } = setUp('1.0.0');
  const network = await cni.network();
  if (!network) throw new Error('no network');
  await cni.add(network, target, forever);
  await cni.collect(() => Promise.resolve(new Set(['abc'])), forever);
  expect(calls()).toHaveLength(2);
});
