import { mkdtempSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { prepareFolder } from './folder.ts';

const fresh = (): string => mkdtempSync(join(tmpdir(), 'cleat-folder-'));

describe('prepareFolder', () => {
  it('makes the folder with its mode, and those above it', async () => {
    const path = join(fresh(), 'a/b');
    await prepareFolder(path, 'state-dir', 0o700);
    await prepareFolder(path, 'state-dir', 0o755);
    expect(statSync(path).mode & 0o777).toBe(0o700);
  });
  it('says what is wrong and which flag names another', async () => {
    const file = join(fresh(), 'file');
    writeFileSync(file, '');
    await expect(prepareFolder(file, 'state-dir', 0o700)).rejects.toThrow(`${file} cannot be used: it is no directory; make it a directory that this user may read and write, or choose another with --state-dir`);
    await expect(prepareFolder(join(file, 'below'), 'state-dir', 0o700)).rejects.toThrow('a part of the path is no directory');
    await expect(prepareFolder('/proc/cleat', 'state-dir', 0o700)).rejects.toThrow('/proc/cleat cannot be used: the file system there takes no directories');
  });
});
