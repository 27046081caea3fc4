import type { Container } from '#api/gen/types.ts';
import { isAbort } from '#common/lifecycle.ts';
import { messageOf } from '#common/errors.ts';
import type { RegistryAuth, RuntimeDriver } from '#agent/runtimes/types.ts';

type PullPolicy = 'Always' | 'IfNotPresent' | 'Never';

/** Kubernetes' default: images tagged `latest`, or not at all, are looked up each time. */
function pullPolicyOf(container: Container): PullPolicy {
  const policy = container.imagePullPolicy;
  if (policy === 'Always' || policy === 'IfNotPresent' || policy === 'Never') return policy;
  const name = container.image ?? '';
  const tag = name.includes('@') ? '@' : name.slice(name.lastIndexOf('/') + 1).split(':')[1] ?? 'latest';
  return tag === 'latest' ? 'Always' : 'IfNotPresent';
}

export type ImageOutcome =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: 'ErrImagePull' | 'ErrImageNeverPull' | 'InvalidImageName'; readonly message: string };

const component = String.raw`[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*`;
const domain = String.raw`(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?`;
/** The grammar of https://github.com/distribution/reference. */
const reference = new RegExp(String.raw`^(?:${domain}/)?${component}(?:/${component})*(?::\w[\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$`);

export interface ImageDeps {
  readonly driver: RuntimeDriver;
  /** Monotonic. */
  readonly nowMs: () => number;
  readonly event: (type: 'Normal' | 'Warning', reason: string, message: string) => void;
}

/** Makes sure that a container's image is on this host, by its pull policy. */
export async function ensureImage(deps: ImageDeps, container: Container, auths: readonly RegistryAuth[], signal: AbortSignal): Promise<ImageOutcome> {
  const image = container.image ?? '';
  const policy = pullPolicyOf(container);
  if (!reference.test(image)) {
    const message = `Failed to apply default image tag "${image}": couldn't parse image name "${image}": invalid reference format`;
    deps.event('Warning', 'InspectFailed', message);
    return { ok: false, reason: 'InvalidImageName', message };
  }
  if (policy !== 'Always') {
    const present = await deps.driver.imageId(image, signal) !== undefined;
    if (present) {
      deps.event('Normal', 'Pulled', `Container image "${image}" already present on machine`);
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
  try {
    await pullWithAny(deps.driver, image, auths, signal);
  } catch (error) {
    if (isAbort(error, signal)) throw error;
    const message = messageOf(error);
    deps.event('Warning', 'Failed', `Failed to pull image "${image}": ${message}`);
    return { ok: false, reason: 'ErrImagePull', message };
  }
  deps.event('Normal', 'Pulled', `Successfully pulled image "${image}" in ${String(Math.round(deps.nowMs() - started) / 1000)}s`);
  return { ok: true };
}

async function pullWithAny(driver: RuntimeDriver, image: string, auths: readonly RegistryAuth[], signal: AbortSignal): Promise<void> {
  let failure: unknown;
  for (const auth of auths.length > 0 ? auths : [undefined]) {
    try {
      await driver.pullImage(image, auth, signal);
      return;
    } catch (error) {
      if (isAbort(error, signal)) throw error;
      failure = error;
    }
  }
  throw failure;
}
