import { randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { isRecord } from '#api/meta/json.ts';
import { StatusError } from '#common/errors.ts';
import type { ContainerConfig } from '../types.ts';
import type { Ctr } from '../containerd/ctr.ts';

/** The seccomp section of a container's configuration; undefined for none. */
export async function seccompOf(ctr: Ctr, { privileged, seccomp }: ContainerConfig['security'], capabilities: readonly string[], dir: string, signal: AbortSignal): Promise<object | undefined> {
  if (privileged || seccomp.type === 'Unconfined') return undefined;
  return seccomp.type === 'Localhost' ? profileIn(seccomp.reference ?? '') : usualProfile(ctr, capabilities, dir, signal);
}

async function profileIn(path: string): Promise<object> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new StatusError('Invalid', `the seccomp profile ${path} cannot be read; put it there, or name another`, { cause: error });
  }
  if (!isRecord(value)) throw new StatusError('Invalid', `the seccomp profile ${path} is no profile`);
  return value;
}

/** containerd's own, which depends on the host and on what the container may do: asked for by having it configure a container that is never started. */
async function usualProfile(ctr: Ctr, capabilities: readonly string[], dir: string, signal: AbortSignal): Promise<object> {
  const name = `cleat-seccomp-${randomBytes(8).toString('hex')}`;
  await mkdir(dir, { recursive: true });
  try {
    await ctr.run(['containers', 'create', '--seccomp', ...capabilities.flatMap((capability) => ['--cap-add', capability]), '--rootfs', dir, name], signal);
    const info: unknown = JSON.parse(await ctr.run(['containers', 'info', name], signal));
    const spec = isRecord(info) && isRecord(info['Spec']) ? info['Spec'] : {};
    const profile = isRecord(spec['linux']) ? spec['linux']['seccomp'] : undefined;
    if (isRecord(profile)) return profile;
    throw new StatusError('InternalError', 'containerd told no seccomp profile, so RuntimeDefault cannot be given');
  } finally {
    await ctr.run(['containers', 'rm', name], AbortSignal.timeout(10_000)).catch(() => undefined);
  }
}
