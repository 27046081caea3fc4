import { readdir } from 'node:fs/promises';
import { isStatus, messageOf } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import { killProcesses, removeCgroup } from '#agent/runtimes/cgroups.ts';
import { podPathsOf, podsDir, uidOfPodDir } from './paths.ts';
import { podCgroup } from './spec/sandbox-config.ts';
import { releaseImageVolumes, removePodFiles, type ImageKeeper } from './volumes/volumes.ts';

/** The uids of pods that have begun on this host. */
export async function podsWithFiles(stateDir: string): Promise<ReadonlySet<string>> {
  const names = await readdir(podsDir(stateDir)).catch(() => []);
  return new Set(names.flatMap((name) => uidOfPodDir(name) ?? []));
}

/** For a runtime that is to have no pods of this host any more. */
export async function releaseAllImageVolumes(driver: ImageKeeper, stateDir: string, signal: AbortSignal): Promise<void> {
  for (const name of await readdir(podsDir(stateDir)).catch(() => [])) await releaseImageVolumes(podPathsOf(stateDir, name), driver, signal);
}

/** Removes files and cgroups of pods that ended while no agent looked and of which the runtime knows nothing any more. */
export async function removeLeftovers({ driver, log }: { readonly driver: ImageKeeper; readonly log: Log }, { stateDir, cgroupRoot }: { stateDir: string; cgroupRoot: string }, isPresent: (uid: string) => boolean, signal: AbortSignal): Promise<void> {
  for (const name of await readdir(podsDir(stateDir)).catch(() => [])) {
    const uid = uidOfPodDir(name);
    if (uid === undefined || isPresent(uid)) continue;
    // First: the ids of its users may be another pod's afterwards.
    await killProcesses(podCgroup(cgroupRoot, uid));
    try {
      await removePodFiles(podPathsOf(stateDir, name), driver, signal);
    } catch (error) {
      if (signal.aborted || isStatus(error, 'ServiceUnavailable', 'Timeout')) throw error;
      // What one pod has left behind holds up no other.
      log.warn({ err: messageOf(error), folder: name }, 'what is left of a pod cannot be removed');
      continue;
    }
    await removeCgroup(podCgroup(cgroupRoot, uid));
  }
}
