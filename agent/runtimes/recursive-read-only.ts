import { release } from 'node:os';
import { isRecord } from '#api/meta/json.ts';
import { exec } from '#common/exec.ts';

const timeoutMs = 10_000;
/** The first that can change all mounts below one at once. */
const kernel = [5, 12] as const;

/** Whether mounts inside of a read-only one can be made so, too, by the kernel and by a program like runc, which tells its features. */
export async function canMountRecursivelyReadOnly(program: string): Promise<boolean> {
  if (!kernelCan()) return false;
  try {
    const { stdout, exitCode } = await exec(program, ['features'], { timeoutMs });
    const features: unknown = exitCode === 0 ? JSON.parse(stdout) : undefined;
    return isRecord(features) && Array.isArray(features['mountOptions']) && features['mountOptions'].includes('rro');
  } catch {
    // Older ones know no such command.
    return false;
  }
}

export function kernelCan(version = release()): boolean {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  return major > kernel[0] || (major === kernel[0] && minor >= kernel[1]);
}
