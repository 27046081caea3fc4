import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '#common/errors.ts';
import { exec, execOk } from '#common/exec.ts';

const root = join(import.meta.dirname, '../..');

/**
 * The version before this one, N-1: a commit of this repository. It moves on with each release. What lies between
 * changes what agents and control plane say to each other, the store, the checkpoint and the installer.
 */
const commit = '50ac8063f935d71fed14e9a5f817a9edf81a7f14';
export const versionBefore = '0.0.9';

/**
 * Builds N-1 into `out` from its own sources, below `work`. Where the history is not at hand, as in a shallow clone or
 * a copy without one, it is today's sources under that version's number, and a line on stderr says so: that shows the
 * upgrade alone, not that the two understand each other.
 */
export async function buildVersionBefore(work: string, out: string): Promise<void> {
  const sources = await checkOut(join(work, 'version-before'));
  await execOk(process.execPath, [join(sources, 'install/build/build.ts'), '--out', out, '--version', versionBefore, '--compression', '1'], { timeoutMs: 300_000 });
}

async function checkOut(folder: string): Promise<string> {
  const { exitCode, stderr } = await exec('git', ['-c', `safe.directory=${root}`, '-C', root, 'cat-file', '-e', `${commit}^{commit}`]).catch((error: unknown) => ({ exitCode: 1, stderr: messageOf(error) }));
  if (exitCode !== 0) {
    console.error(`the version before this one is not in this clone (git fetch --unshallow brings it): testing with today's sources under its number. git says: ${stderr.trim()}`);
    return root;
  }
  await mkdir(folder);
  await execOk('sh', ['-c', 'git -c safe.directory="$1" -C "$1" archive -o "$3.tar" "$2" && tar -xf "$3.tar" -C "$3" && rm "$3.tar"', 'sh', root, commit, folder]);
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}
