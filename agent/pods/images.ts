import type { Container } from '#api/gen/types.ts';
import { isAbort } from '#common/lifecycle.ts';
import { isStatus, messageOf } from '#common/errors.ts';
import { goDuration } from '#common/go-duration.ts';
import type { Keyring } from '#agent/images/credentials.ts';
import type { ImagePuller, PullOutcome } from '#agent/images/puller.ts';
import type { PullProgress, RuntimeDriver } from '#agent/runtimes/types.ts';

export type WantedImage = Pick<Container, 'image' | 'imagePullPolicy'>;
type PullPolicy = 'Always' | 'IfNotPresent' | 'Never';

/** Kubernetes' default: images tagged `latest`, or not at all, are looked up each time. */
function pullPolicyOf(container: WantedImage): PullPolicy {
  const policy = container.imagePullPolicy;
  if (policy === 'Always' || policy === 'IfNotPresent' || policy === 'Never') return policy;
  const name = container.image ?? '';
  const tag = name.includes('@') ? '@' : name.slice(name.lastIndexOf('/') + 1).split(':')[1] ?? 'latest';
  return tag === 'latest' ? 'Always' : 'IfNotPresent';
}

export type ImageOutcome =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: 'ErrImagePull' | 'ErrImageNeverPull' | 'InvalidImageName' | 'ImageInspectError'; readonly message: string };

const component = String.raw`[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*`;
const domain = String.raw`(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?`;
/** The grammar of https://github.com/distribution/reference. */
const reference = new RegExp(String.raw`^(?:${domain}/)?${component}(?:/${component})*(?::\w[\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$`);

export interface ImageDeps {
  readonly driver: RuntimeDriver;
  readonly puller: ImagePuller;
  /** The control plane is away, and perhaps the registry with it: what is here will do. */
  readonly isAlone: boolean;
  /** Monotonic. */
  readonly nowMs: () => number;
  readonly event: (type: 'Normal' | 'Warning', reason: string, message: string) => void;
}

/** Makes sure that an image of a container or a volume is on this host, by its pull policy. */
export async function ensureImage(deps: ImageDeps, container: WantedImage, keyring: Keyring, signal: AbortSignal): Promise<ImageOutcome> {
  const image = container.image ?? '';
  const policy = pullPolicyOf(container);
  if (!reference.test(image)) {
    const message = `Failed to apply default image tag "${image}": couldn't parse image name "${image}": invalid reference format`;
    deps.event('Warning', 'InspectFailed', message);
    return { ok: false, reason: 'InvalidImageName', message };
  }
  if (policy !== 'Always' || deps.isAlone) {
    let present: boolean;
    try {
      present = await deps.driver.imageId(image, signal) !== undefined;
    } catch (error) {
      // A runtime that is away, or an agent that ends, says nothing of the image.
      if (isAbort(error, signal) || isStatus(error, 'ServiceUnavailable')) throw error;
      const message = `Failed to inspect image "${image}": ${messageOf(error)}`;
      deps.event('Warning', 'InspectFailed', message);
      return { ok: false, reason: 'ImageInspectError', message };
    }
    if (present) {
      deps.event('Normal', 'Pulled', `Container image "${image}" already present on machine${policy === 'Always' ? ', and not asked for again while the control plane is away' : ''}`);
      return { ok: true };
    }
    if (policy === 'Never') {
      const message = `Container image "${image}" is not present with pull policy of Never`;
      deps.event('Warning', 'ErrImageNeverPull', message);
      return { ok: false, reason: 'ErrImageNeverPull', message };
    }
  }
  deps.event('Normal', 'Pulling', `Pulling image "${image}"`);
  const started = deps.nowMs();
  let pulled: PullOutcome;
  try {
    pulled = await deps.puller.pull({
      image, keyring, presentWillDo: policy === 'IfNotPresent', progress: (known, elapsedMs) => { deps.event('Normal', 'PullProgress', `Pulling image "${image}": ${progressText(known, elapsedMs)}`); },
    }, signal);
  } catch (error) {
    if (isAbort(error, signal)) throw error;
    const message = messageOf(error);
    deps.event('Warning', 'Failed', `Failed to pull image "${image}": ${message}`);
    return { ok: false, reason: 'ErrImagePull', message };
  }
  deps.event('Normal', 'Pulled', `Successfully pulled image "${image}" in ${goDuration(pulled.tookMs)} (${goDuration(deps.nowMs() - started)} including waiting). Image size: ${String(pulled.sizeBytes)} bytes.`);
  return { ok: true };
}

/** `12.3 MiB of 120.5 MiB (10 %) after 30 s`. */
function progressText({ doneBytes, totalBytes }: PullProgress, elapsedMs: number): string {
  const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  const share = totalBytes > 0 ? ` of ${mib(totalBytes)} (${String(Math.floor((100 * doneBytes) / totalBytes))} %)` : '';
  return `${mib(doneBytes)}${share} after ${String(Math.round(elapsedMs / 1000))} s`;
}
