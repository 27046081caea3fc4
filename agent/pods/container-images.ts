import type { Container, Pod, Secret } from '#api/gen/types.ts';
import type { Clock } from '#common/clock.ts';
import { missingPullSecrets, podKeyring } from '#agent/images/credentials.ts';
import type { ImagePuller } from '#agent/images/puller.ts';
import type { RuntimeDriver } from '#agent/runtimes/types.ts';
import { ensureImage, type WantedImage } from './images.ts';
import { configBackoff, imageBackoff, type PodMemory } from './memory.ts';
import type { PodPaths } from './paths.ts';
import type { PodRecorder } from './recorder.ts';
import type { ObjectLookup } from './spec/env.ts';

export interface ContainerImagesDeps {
  readonly driver: RuntimeDriver;
  readonly puller: ImagePuller;
  /** The control plane has not been heard of for a while, or never since the host was booted. */
  readonly isAlone: () => boolean;
  readonly clock: Clock;
  readonly lookup: ObjectLookup;
  readonly recorder: PodRecorder;
}

/** What a container needs of images before it can be made: its own, and those of volumes that it mounts. */
export class ContainerImages {
  readonly #deps: ContainerImagesDeps;
  readonly #memory: PodMemory;
  readonly #paths: PodPaths;

  constructor(deps: ContainerImagesDeps, memory: PodMemory, paths: PodPaths) {
    this.#deps = deps;
    this.#memory = memory;
    this.#paths = paths;
  }

  /** False when one is not there; the failure is then remembered. */
  async ensure(pod: Pod, spec: Container, signal: AbortSignal): Promise<boolean> {
    if (!await this.#ensure(pod, spec, spec, spec.name, signal)) return false;
    if (!hasImageVolumes(pod)) return true;
    const { unmountedImageVolumes, wantedImage } = await import('./volumes/image-volumes.ts');
    for (const volume of await unmountedImageVolumes(pod, spec, this.#paths)) {
      // Of a volume the pod is told, as kubelet does.
      if (!await this.#ensure(pod, spec, await wantedImage(volume, this.#paths), undefined, signal)) return false;
    }
    return true;
  }

  /** Mounts the volumes of images that the container mounts, and that are not mounted yet. */
  async mount(pod: Pod, spec: Container, signal: AbortSignal): Promise<void> {
    if (hasImageVolumes(pod)) await (await import('./volumes/image-volumes.ts')).mountImageVolumes(pod, spec, this.#paths, this.#deps.driver, signal);
  }

  /** `about`: the container that Events are about, if they are not about the whole pod. */
  async #ensure(pod: Pod, { name }: Container, wanted: WantedImage, about: string | undefined, signal: AbortSignal): Promise<boolean> {
    const { driver, puller, clock, recorder, lookup, isAlone } = this.#deps;
    const emit = (type: 'Normal' | 'Warning', reason: string, message: string): void => { recorder.emit(type, reason, message, about); };
    const secretOf = (namespace: string, secret: string): Secret | undefined => lookup.secret(namespace, secret);
    const missing = missingPullSecrets(pod, secretOf);
    // Of the whole pod, as kubelet says it; the image may be here, or in a registry that asks nobody.
    if (missing.length > 0) recorder.emit('Warning', 'FailedToRetrieveImagePullSecret', `Unable to retrieve some image pull secrets (${missing.join(', ')}); attempting to pull the image may not succeed.`);
    const keyring = podKeyring(pod, secretOf);
    const outcome = await ensureImage({ driver, puller, isAlone: isAlone(), nowMs: () => clock.monotonic(), event: emit }, wanted, keyring, signal);
    if (outcome.ok) return true;
    const { reason, message } = outcome;
    recorder.emit('Warning', 'Failed', `Error: ${reason}`, name);
    if (reason !== 'ErrImagePull') {
      this.#memory.fail(name, reason, message, clock.monotonic(), configBackoff);
      return false;
    }
    const again = this.#memory.failures.has(name);
    const backOff = `Back-off pulling image "${wanted.image ?? ''}"`;
    this.#memory.fail(name, again ? 'ImagePullBackOff' : reason, again ? `${backOff}: ${reason}: ${message}` : message, clock.monotonic(), imageBackoff);
    emit('Normal', 'BackOff', backOff);
    if (again) recorder.emit('Warning', 'Failed', 'Error: ImagePullBackOff', name);
    return false;
  }
}

/** Few pods have: what is for them alone is loaded then. */
function hasImageVolumes({ spec }: Pod): boolean {
  return spec?.volumes?.some(({ image }) => image !== undefined) === true;
}
