import { randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { messageOf, StatusError } from '#common/errors.ts';
import type { ContainerConfig } from '../types.ts';
import type { Ctr } from '../containerd/ctr.ts';

/** The kernel's list of loaded profiles, each with its mode: `NAME (enforce)`. There exactly where AppArmor is on. */
const loadedProfiles = '/sys/kernel/security/apparmor/profiles';
const usual = 'cleat-default';

/** The profile of a container; undefined for none. As containerd's CRI does: its default where nobody says anything, but for the privileged. Rejects when it is not there. */
export async function appArmorOf(ctr: Ctr, { privileged, appArmor }: ContainerConfig['security'], dir: string, signal: AbortSignal, profiles = loadedProfiles): Promise<string | undefined> {
  if (appArmor?.type === 'Unconfined' || (!appArmor && privileged)) return undefined;
  const name = appArmor?.type === 'Localhost' ? appArmor.reference ?? '' : usual;
  const isLoaded = async (): Promise<boolean | undefined> => (await readFile(profiles, 'utf8').catch(() => undefined))?.split('\n').some((line) => line.startsWith(`${name} (`));
  const found = await isLoaded();
  if (found === true) return name;
  if (appArmor?.type === 'Localhost') throw new StatusError('Invalid', `apparmor profile not found ${name}`);
  let cause: unknown;
  if (found === false) {
    try {
      await load(ctr, dir, signal);
      if (await isLoaded()) return name;
    } catch (error) {
      signal.throwIfAborted();
      cause = error;
    }
  }
  if (appArmor) throw new StatusError('Invalid', `the default AppArmor profile cannot be loaded${cause === undefined ? '' : `: ${messageOf(cause)}`}: is apparmor_parser installed (Debian: apparmor), and /sys/kernel/security mounted?`, { cause });
  return undefined;
}

/** containerd's own profile: loaded by having it configure a container that is never started. */
async function load(ctr: Ctr, dir: string, signal: AbortSignal): Promise<void> {
  const name = `cleat-apparmor-${randomBytes(8).toString('hex')}`;
  await mkdir(dir, { recursive: true });
  try {
    await ctr.run(['containers', 'create', '--apparmor-default-profile', usual, '--rootfs', dir, name], signal);
  } finally {
    await ctr.run(['containers', 'rm', name], AbortSignal.timeout(10_000)).catch(() => undefined);
  }
}
