import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLog } from '#common/log.ts';
import { Ledger, type LedgerEntry } from '#agent/node/ledger.ts';
import { undo } from '#agent/teardown.ts';
import { podNetworkDefaults } from './pod-network.ts';
import { writeConflist } from './cni-setup.ts';

describe('the CNI configuration', () => {
  let root: string;
  beforeEach(() => { root = mkdtempSync(join(tmpdir(), 'cleat-cni-')); });
  afterEach(() => { rmSync(root, { recursive: true }); });

  it("is written where the host's runtime reads it, and goes with the folders that were made for it", async () => {
    const cniConfDir = join(root, 'etc/cni/net.d');
    const ledger = new Ledger(join(root, 'ledger.jsonl'), Date.now);
    // What it notes of this machine is not for a test to undo.
    const record = (entry: LedgerEntry): Promise<void> => (entry.target.startsWith(root) ? ledger.record(entry) : Promise.resolve());
    const write = (): Promise<void> => writeConflist(['10.42.0.0/24'], { ...podNetworkDefaults, nodeName: 'n', stateDirectory: root, serviceCidrs: [], mode: 'auto', cniConfDir }, { ledger: { record }, log: silentLog });
    await write();
    const once = ledger.records.length;
    await write();
    expect(ledger.records).toHaveLength(once);
    expect(JSON.parse(readFileSync(join(cniConfDir, '10-cleat.conflist'), 'utf8'))).toMatchObject({ name: expect.stringMatching(/^cleat/) as string });
    await undo(ledger);
    expect(existsSync(join(root, 'etc'))).toBe(false);
  });
});
