import { access, mkdir, rmdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Container, Pod, Volume } from '#api/gen/types.ts';
import { StatusError, toStatus } from '#common/errors.ts';
import type { RuntimeDriver } from '#agent/runtimes/types.ts';
import type { WantedImage } from '../images.ts';
import { uidOfPodDir, type PodPaths } from '../paths.ts';
import { isMountPoint } from './mounts.ts';

/** Volumes of images that the container mounts, each once, apart from those that are mounted on this host already. */
export async function unmountedImageVolumes({ spec }: Pod, { volumeMounts = [] }: Container, paths: PodPaths): Promise<Volume[]> {
  const wanted = (spec?.volumes ?? []).filter(({ name, image }) => image !== undefined && volumeMounts.some((mount) => mount.name === name));
  const mounted = await Promise.all(wanted.map(({ name }) => isMountPoint(join(paths.volumes, name))));
  return wanted.filter((_volume, index) => mounted[index] !== true);
}

/** What to bring here for a volume. One that was mounted for this pod before, a reboot ago, is not asked for again. */
export async function wantedImage({ name, image }: Volume, paths: PodPaths): Promise<WantedImage> {
  const before = image?.pullPolicy === 'Always' && await access(join(paths.imageVolumes, name)).then(() => true, () => false);
  return { image: image?.reference, imagePullPolicy: before ? 'IfNotPresent' : image?.pullPolicy };
}

/** Mounts the volumes of images that the container mounts and that are here, read-only. What they are made from is the same for as long as the pod is on this host. */
export async function mountImageVolumes(pod: Pod, container: Container, paths: PodPaths, driver: RuntimeDriver, signal: AbortSignal): Promise<void> {
  for (const { name, image } of await unmountedImageVolumes(pod, container, paths)) {
    const dir = join(paths.volumes, name);
    const note = join(paths.imageVolumes, name);
    try {
      // Before anything is held: who removes the pod knows by it what to let go of.
      await mkdir(note, { recursive: true, mode: 0o700 });
      await mkdir(dir, { recursive: true, mode: 0o755 });
      await driver.mountImage(image?.reference ?? '', imageVolumeKey(paths, name), dir, signal);
    } catch (error) {
      signal.throwIfAborted();
      const { code, message } = toStatus(error);
      // An engine that cannot do it holds nothing, and need not be able to let go of it.
      if (code === 'Invalid') await rmdir(note);
      throw new StatusError(code, `MountVolume.SetUp failed for volume "${name}" : ${message}`, { cause: error });
    }
  }
}

/** What the runtime holds an image by. */
export function imageVolumeKey(paths: PodPaths, volume: string): string {
  return `${uidOfPodDir(basename(paths.root)) ?? ''}-${volume}`;
}
