import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** One folder for all that a run's tests make; returns what removes it again. */
export default function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'cleat-test-'));
  process.env['TMPDIR'] = folder;
  return () => { rmSync(folder, { recursive: true, force: true }); };
}
