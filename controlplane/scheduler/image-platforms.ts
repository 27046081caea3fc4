import { hostArchitectures, imagePlatformsAnnotation, pulledPlatformsAnnotation } from '#api/images/platforms.ts';
import type { ContainerState, Node, Pod } from '#api/gen/types.ts';
import type { Clock } from '#common/clock.ts';

const architectureLabel = 'kubernetes.io/arch';

/** How agents, and containerd, Docker and CRI-O, say that an image is not made for their platform. */
const notForPlatform = /wrong architecture: image|no match for platform in manifest|no matching manifest for|no image found in (image index|manifest list) for architecture/;
/** What agents say besides, where they can tell: the platforms that there are. */
const platformsSaid = /wrong architecture: image \S+ is for ((?:linux\/[^\s,]+(?:, )?)+), and this host/;
/** Programs that processors of a kind run besides their own. */
const alsoRuns: Readonly<Record<string, string>> = { amd64: '386', arm64: 'arm' };
/** Tags move: what could not be pulled an hour ago is worth another try. */
const rememberMs = 3_600_000;
const maxRemembered = 1000;

/**
 * For which architectures images are made, as far as agents have told: by the platforms in annotations of their nodes,
 * and by what became of pods. What nobody has told is allowed.
 */
export class ImagePlatforms {
  readonly #clock: Pick<Clock, 'monotonic' | 'now'>;
  /** By node, then by image. */
  readonly #told = new Map<string, ReadonlyMap<string, ReadonlySet<string>>>();
  /** `image architecture` → until when, and since when by the wall clock. Oldest first. */
  readonly #refused = new Map<string, { readonly until: number; readonly sinceMs: number }>();

  constructor(clock: Pick<Clock, 'monotonic' | 'now'>) {
    this.#clock = clock;
  }

  /** True when nothing is known of any image. */
  get isEmpty(): boolean { return this.#told.size === 0 && this.#refused.size === 0; }

  isFor(image: string, architecture: string): boolean {
    if (this.refusedSinceMs(image, architecture) !== undefined) return false;
    const lists = [...this.#told.values()].flatMap((images) => images.get(image) ?? []);
    return lists.length === 0 || lists.some((architectures) => architectures.has(architecture));
  }

  /** Since when it has been known, from pods, that the image has nothing for this architecture. */
  refusedSinceMs(image: string, architecture: string): number | undefined {
    const known = this.#refused.get(`${image} ${architecture}`);
    return known !== undefined && known.until > this.#clock.monotonic() ? known.sinceMs : undefined;
  }

  setNode(name: string, { metadata }: Node): void {
    // What people say comes before what the agent saw.
    const images = new Map([...parse(metadata?.annotations?.[pulledPlatformsAnnotation]), ...parse(metadata?.annotations?.[imagePlatformsAnnotation])]);
    if (images.size > 0) this.#told.set(name, images);
    else this.#told.delete(name);
  }

  /** Takes note of images that could not be pulled, or do run, on a node of this architecture. */
  learn({ spec, status }: Pod, architecture: string | undefined): void {
    if (architecture === undefined) return;
    for (const { image, state } of containersOf({ spec, status })) {
      const waits = state?.waiting?.message;
      if (waits !== undefined && notForPlatform.test(waits)) for (const one of [architecture, ...othersWithout(waits)]) this.#refuse(image, one);
      else if (waits === undefined && state?.running !== undefined) this.#refused.delete(`${image} ${architecture}`);
    }
  }

  #refuse(image: string, architecture: string): void {
    const key = `${image} ${architecture}`;
    const sinceMs = this.refusedSinceMs(image, architecture) ?? this.#clock.now();
    this.#refused.delete(key);
    this.#refused.set(key, { until: this.#clock.monotonic() + rememberMs, sinceMs });
    if (this.#refused.size <= maxRemembered) return;
    const [oldest] = this.#refused.keys();
    if (oldest !== undefined) this.#refused.delete(oldest);
  }
}

/** Images of containers that have never run because there is nothing in them for the pod's host. */
export function imagesNotForPlatform(pod: Pod): readonly string[] {
  return containersOf(pod).filter(({ state, restartCount }) => restartCount === 0 && notForPlatform.test(state?.waiting?.message ?? '')).map(({ image }) => image);
}

/** Every container's state, with its image as the pod names it. */
function containersOf({ spec, status }: Pick<Pod, 'spec' | 'status'>): readonly { readonly image: string; readonly state: ContainerState | undefined; readonly restartCount: number }[] {
  return [...status?.initContainerStatuses ?? [], ...status?.containerStatuses ?? []].flatMap(({ name, state, restartCount }) => {
    if (state?.waiting?.message === undefined && state?.running === undefined) return [];
    const image = [...spec?.initContainers ?? [], ...spec?.containers ?? []].find((container) => container.name === name)?.image;
    return image === undefined ? [] : [{ image, state, restartCount }];
  });
}

/** Of the hosts that Cleat runs on, those for which the platforms that are said to be there hold nothing. */
function othersWithout(message: string): readonly string[] {
  const said = platformsSaid.exec(message)?.[1]?.split(', ').map((platform) => platform.split('/')[1] ?? '');
  return said === undefined ? [] : hostArchitectures.filter((one) => !said.includes(one) && !said.includes(alsoRuns[one] ?? ''));
}

export function architectureOf(labels: Readonly<Record<string, string>>): string | undefined {
  return labels[architectureLabel];
}

/** What makes no sense says nothing. */
function parse(text: string | undefined): ReadonlyMap<string, ReadonlySet<string>> {
  const found = new Map<string, ReadonlySet<string>>();
  if (text === undefined) return found;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return found;
    for (const [image, platforms] of Object.entries(value)) {
      if (Array.isArray(platforms) && platforms.length > 0) found.set(image, new Set(platforms.map((platform) => String(platform).split('/')[1] ?? '')));
    }
  } catch {
    found.clear();
  }
  return found;
}
