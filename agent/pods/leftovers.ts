import { readdir } from 'node:fs/promises';
import { removeCgroup } from '#agent/runtimes/cgroups.ts';
import { podPathsOf, podsDir, uidOfPodDir } from './paths.ts';
import { podCgroup } from './spec/sandbox-config.ts';
import { removePodFiles } from './volumes/volumes.ts';

/** Removes files and cgroups of pods that ended while no agent looked and of which the runtime knows nothing any more. */
export async function removeLeftovers({ stateDir, cgroupRoot }: { stateDir: string; cgroupRoot: string }, isPresent: (uid: string) => boolean): Promise<void> {
  for (const name of await readdir(podsDir(stateDir)).catch(() => [])) {
    const uid = uidOfPodDir(name);
    if (uid === undefined || isPresent(uid)) continue;
    await removePodFiles(podPathsOf(stateDir, name));
    await removeCgroup(podCgroup(cgroupRoot, uid));
  }
}
