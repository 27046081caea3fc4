import { readdir } from 'node:fs/promises';
import { removeCgroup } from '#agent/runtimes/cgroups.ts';
import { podPathsOf, podsDir, uidOfPodDir } from './paths.ts';
import { podCgroup } from './spec/sandbox-config.ts';
import { removePodFiles } from './volumes/volumes.ts';

/** The uids of pods that have begun on this host. */
export async function podsWithFiles(stateDir: string): Promise<ReadonlySet<string>> {
  const names = await readdir(podsDir(stateDir)).catch(() => []);
  return new Set(names.flatMap((name) => uidOfPodDir(name) ?? []));
}

/** Removes files and cgroups of pods that ended while no agent looked and of which the runtime knows nothing any more. */
export async function removeLeftovers({ stateDir, cgroupRoot }: { stateDir: string; cgroupRoot: string }, isPresent: (uid: string) => boolean): Promise<void> {
  for (const name of await readdir(podsDir(stateDir)).catch(() => [])) {
    const uid = uidOfPodDir(name);
    if (uid === undefined || isPresent(uid)) continue;
    await removePodFiles(podPathsOf(stateDir, name));
    await removeCgroup(podCgroup(cgroupRoot, uid));
  }
}
