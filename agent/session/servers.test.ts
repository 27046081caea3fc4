import { mkdtempSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Node } from '#api/gen/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { silentLog } from '#common/log.ts';
import { formatServerAddress } from './server-probe.ts';
import { Servers } from './servers.ts';

const node = (name: string, ...addresses: string[]): Node => ({ apiVersion: 'v1', kind: 'Node', metadata: { name }, status: { addresses: [{ type: 'Hostname', address: name }, ...addresses.map((address) => ({ type: 'InternalIP', address }))] } });
let [folder, nodes]: [string, Node[]] = ['', []];
const open = (server = 'https://10.0.0.1:6443'): Promise<Servers> => Servers.open({ log: silentLog, state: { list: <T extends KubeObject>() => nodes as KubeObject[] as T[] } }, folder, server);
const names = (servers: Servers): string[] => servers.elsewhere('me').map(formatServerAddress);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'servers-'));
  mkdirSync(join(folder, 'agent'));
  nodes = [];
});

describe('where the control plane may be', () => {
  it('is where the agent is told, what it said itself, and the other hosts of the fleet', async () => {
    nodes = [node('me', '10.0.0.2'), node('b', '10.0.0.3', 'fd00::3'), node('c', '10.0.0.1')];
    const servers = await open();
    expect(formatServerAddress(servers.current)).toBe('10.0.0.1:6443');
    await servers.learn(['https://10.0.0.1:6443', 'https://home.lan:6443', 'nonsense']);
    expect(names(servers)).toEqual(['home.lan:6443', '10.0.0.3:6443', '[fd00::3]:6443']);
  });

  it('is remembered, until somebody names another', async () => {
    const servers = await open();
    await servers.learn(['https://10.0.0.9:6443']);
    await servers.use({ host: 'fd00::3', port: 6443 });
    expect(formatServerAddress((await open()).current)).toBe('[fd00::3]:6443');
    expect(names(await open())).toEqual(['10.0.0.1:6443', '10.0.0.9:6443']);
    expect(formatServerAddress((await open('https://10.0.0.7:7443')).current)).toBe('10.0.0.7:7443');
  });

  it('is looked for on a large fleet in turns', async () => {
    nodes = Array.from({ length: 20 }, (_, i) => node(`n${String(i)}`, `10.0.1.${String(i)}`));
    const servers = await open();
    const seen = new Set(Array.from({ length: 3 }, () => names(servers)).flat());
    expect(names(servers)).toHaveLength(8);
    expect(seen.size).toBe(20);
  });

  it.each(['', '{', '[]', '{"configured":"https://10.0.0.1:6443","current":"x","told":[]}', '{"configured":1,"current":"https://a","told":{}}'])('survives a file that holds %j', async (text) => {
    writeFileSync(join(folder, 'agent/servers.json'), text);
    const servers = await open();
    expect(formatServerAddress(servers.current)).toBe('10.0.0.1:6443');
    await servers.learn(['https://10.0.0.9:6443']);
    expect(JSON.parse(readFileSync(join(folder, 'agent/servers.json'), 'utf8'))).toMatchObject({ told: ['https://10.0.0.9:6443'] });
  });
});
