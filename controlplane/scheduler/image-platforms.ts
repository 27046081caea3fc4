import { imagePlatformsAnnotation, pulledPlatformsAnnotation } from '#api/images/platforms.ts';
import type { Node, Pod } from '#api/gen/types.ts';
import type { Clock } from '#common/clock.ts';

const architectureLabel = 'kubernetes.io/arch';

/** How agents, and containerd, Docker and CRI-O, say that an image is not made for their platform. */
const notForPlatform = /wrong architecture: image|no match for platform in manifest|no matching manifest for|no image found in (image index|manifest list) for architecture/;
/** Tags move: what could not be pulled an hour ago is worth another try. */
const rememberMs = 3_600_000;
const maxRemembered = 1000;

/**
 * For which architectures images are made, as far as agents have told: by the platforms in annotations of their nodes,
 * and by what became of pods. What nobody has told is allowed.
 */
export class ImagePlatforms {
  readonly #clock: Pick<Clock, 'monotonic'>;
  /** By node, then by image. */
  readonly #told = new Map<string, ReadonlyMap<string, ReadonlySet<string>>>();
  /** `image architecture` → until when. Oldest first. */
  readonly #refused = new Map<string, number>();

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** True when nothing is known of any image. */
  get isEmpty(): boolean { return this.#told.size === 0 && this.#refused.size === 0; }

  isFor(image: string, architecture: string): boolean {
    const until = this.#refused.get(`${image} ${architecture}`);
    if (until !== undefined && until > this.#clock.monotonic()) return false;
    const lists = [...this.#told.values()].flatMap((images) => images.get(image) ?? []);
    return lists.length === 0 || lists.some((architectures) => architectures.has(architecture));
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
    for (const { name, state } of [...status?.initContainerStatuses ?? [], ...status?.containerStatuses ?? []]) {
      const waits = state?.waiting?.message;
      if (waits === undefined && (state?.running === undefined || this.#refused.size === 0)) continue;
      const image = [...spec?.initContainers ?? [], ...spec?.containers ?? []].find((container) => container.name === name)?.image;
      if (image === undefined) continue;
      if (waits === undefined) this.#refused.delete(`${image} ${architecture}`);
      else if (notForPlatform.test(waits)) this.#refuse(`${image} ${architecture}`);
    }
  }

  #refuse(key: string): void {
    this.#refused.delete(key);
    this.#refused.set(key, this.#clock.monotonic() + rememberMs);
    if (this.#refused.size <= maxRemembered) return;
    const [oldest] = this.#refused.keys();
    if (oldest !== undefined) this.#refused.delete(oldest);
  }
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
