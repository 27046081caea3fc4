import { access, constants } from 'node:fs/promises';
import type { CdiHook } from '../sandbox/cdi.ts';

export const nvidiaHandler = 'nvidia';

const folders = ['/usr/bin', '/usr/local/bin', '/usr/local/nvidia/toolkit'];
const program = 'nvidia-container-runtime-hook';

/** What NVIDIA's runtime adds to a container, which is all that it does before it runs runc. Undefined where it is not installed. */
export async function nvidiaHook(): Promise<CdiHook | undefined> {
  for (const folder of folders) {
    const path = `${folder}/${program}`;
    if (await access(path, constants.X_OK).then(() => true, () => false)) return { hookName: 'prestart', path, args: [program, 'prestart'] };
  }
  return undefined;
}
