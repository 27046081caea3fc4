import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Executables } from './executables.ts';

const bytes = Buffer.from('an executable, packed '.repeat(100));
const sha256 = createHash('sha256').update(bytes).digest('hex');
const folder = (): string => mkdtempSync(join(tmpdir(), 'executables-'));

it('an executable that was cut off on its way goes on from there, even when only its check is missing', async () => {
  const stateDir = folder();
  await new Executables(stateDir).add(sha256, 0, bytes.subarray(0, 1000), false);
  // A control plane that was started anew meanwhile.
  const again = new Executables(stateDir);
  expect(await again.state(sha256)).toEqual({ bytes: 1000, whole: false });
  await expect(again.add(sha256, 0, bytes, true)).rejects.toThrow('1000 bytes are here, and not 0; go on from there');
  await again.add(sha256, 1000, bytes.subarray(1000), false);
  expect(await again.state(sha256)).toEqual({ bytes: bytes.length, whole: false });
  await again.add(sha256, bytes.length, Buffer.alloc(0), true);
  expect(await again.state(sha256)).toEqual({ bytes: bytes.length, whole: true });
});

it('what is not what its sum says is sent again from its beginning', async () => {
  const stateDir = folder();
  const executables = new Executables(stateDir);
  await expect(executables.add(sha256, 0, Buffer.alloc(bytes.length), true)).rejects.toThrow('send it again');
  expect(readdirSync(join(stateDir, 'server/executables'))).toEqual([]);
  await executables.add(sha256, 0, bytes, true);
  expect(await executables.state(sha256)).toEqual({ bytes: bytes.length, whole: true });
  await expect(executables.state('../../pki/ca.key')).rejects.toThrow('SHA-256');
});
