import { describe, expect, it } from 'vitest';
import { readArchive, writeArchive, type BackupHeader, type BackupRecord } from './archive.ts';
import { seal, unseal } from './seal.ts';

const header: BackupHeader = { format: 'cleat-backup', version: 1, cleatVersion: '0.1.0', createdAt: '2026-11-01T00:00:00.000Z', caFingerprint: 'ab', revision: 7, settings: { 'pod-cidr': '10.1.0.0/16' }, configFile: '/etc/cleat/controlplane.yaml' };
const records: readonly BackupRecord[] = [
  { file: 'pki/ca.key', mode: 0o600, data: Buffer.from('a key\n') },
  { row: 'r00000000001', data: Buffer.from([0, 255, 128, 10, 13]) },
  ...Array.from({ length: 300 }, (_, i): BackupRecord => ({ row: `r${String(i + 2).padStart(11, '0')}`, data: Buffer.from(`{"name":"ö${String(i)}","x":"${'y'.repeat(i * 7)}"}`) })),
];

async function* from<T>(items: Iterable<T>): AsyncGenerator<T, void, undefined> { for (const item of items) yield await Promise.resolve(item); }
async function bytesOf(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of source) all.push(chunk);
  return Buffer.concat(all);
}
function* pieces(bytes: Buffer, size: number): Generator<Buffer> { for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size); }
async function read(bytes: Buffer, secret?: string, size = 1000): Promise<{ header: BackupHeader; records: BackupRecord[] }> {
  const opened = await readArchive(from(pieces(bytes, size)), () => Promise.resolve(secret === undefined ? undefined : Buffer.from(secret)));
  const all: BackupRecord[] = [];
  for await (const record of opened.records) all.push(record);
  return { header: opened.header, records: all };
}
const archive = (): Promise<Buffer> => bytesOf(writeArchive(header, from(records)));
const sealed = async (secret: string): Promise<Buffer> => bytesOf(seal(from(pieces(await archive(), 777)), Buffer.from(secret)));

describe('a backup', () => {
  it('is read as it was written, however it arrives', async () => {
    const bytes = await archive();
    for (const size of [17, 1000, bytes.length]) expect(await read(bytes, undefined, size)).toEqual({ header, records });
  });

  it('that is sealed opens with its secret alone, and hides what is in it', async () => {
    const bytes = await sealed('correct horse');
    expect(await read(bytes, 'correct horse', 13)).toEqual({ header, records });
    await expect(read(bytes, 'battery staple')).rejects.toThrow(/another one than it was sealed with/);
    await expect(read(bytes)).rejects.toThrow(/is sealed: say what with/);
    await expect(read(await archive(), 'correct horse')).rejects.toThrow(/is not sealed/);
    expect(bytes.includes('a key')).toBe(false);
  });

  it.each([['plain', archive, undefined], ['sealed', () => sealed('s'), 's']] as const)('that is cut off or changed anywhere is refused: %s', async (_, make, secret) => {
    const bytes = await make();
    for (const share of [0, 0.001, 0.3, 0.7, 0.999]) {
      await expect(read(bytes.subarray(0, Math.floor(bytes.length * share)), secret), `cut at ${String(share)}`).rejects.toThrow(/backup/);
      const changed = Buffer.from(bytes);
      const at = Math.min(bytes.length - 1, Math.floor(bytes.length * share) + 12);
      changed[at] = (changed[at] ?? 0) ^ 0x55;
      await expect(read(changed, secret), `changed at ${String(share)}`).rejects.toThrow(/backup/);
    }
  });

  it('of another kind, or of a newer Cleat, says so', async () => {
    await expect(read(Buffer.from('hello'))).rejects.toThrow('this is no backup of Cleat');
    const newer = await bytesOf(writeArchive({ ...header, version: 2 as 1, cleatVersion: '9.0.0' }, from([])));
    await expect(read(newer)).rejects.toThrow(/made by Cleat 9.0.0, whose format/);
  });

  it('ends with the error of what it is made from', async () => {
    const broken = (async function* () { yield* from(records.slice(0, 2)); throw new Error('the disk is gone'); })();
    await expect(bytesOf(writeArchive(header, broken))).rejects.toThrow('the disk is gone');
  });

  it('sealed chunks cannot change places', async () => {
    const plain = Buffer.alloc(200_000, 'x');
    const bytes = await bytesOf(seal(from([plain]), Buffer.from('s')));
    expect((await bytesOf(unseal(from([bytes]), Buffer.from('s')))).equals(plain)).toBe(true);
    const start = bytes.indexOf(0x0a) + 1;
    const size = (64 << 10) + 16;
    const swapped = Buffer.concat([bytes.subarray(0, start), bytes.subarray(start + size, start + 2 * size), bytes.subarray(start, start + size), bytes.subarray(start + 2 * size)]);
    await expect(bytesOf(unseal(from([swapped]), Buffer.from('s')))).rejects.toThrow(/backup/);
  });
});
