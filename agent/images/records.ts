import { readFile } from 'node:fs/promises';
import { hostArchitectures } from '#api/images/platforms.ts';
import { equal } from '#api/meta/equal.ts';
import { isRecord } from '#api/meta/json.ts';
import { writeFileAtomic } from '#common/atomic-file.ts';
import type { Log } from '#common/log.ts';

export interface MadeFor {
  /** The image as a pod names it. */
  readonly image: string;
  readonly architectures: readonly string[];
}

/** As many are told of. */
const maxMade = 50;

/** What no engine remembers of its images, by their canonical names. On disk before a call resolves. */
export class ImageRecords {
  readonly #path: string;
  readonly #loaded: Set<string>;
  readonly #pulled: Set<string>;
  /** By canonical name, the latest last. */
  readonly #made: Map<string, MadeFor>;
  #writing: Promise<void> = Promise.resolve();

  private constructor(path: string, loaded: Set<string>, pulled: Set<string>, made: Map<string, MadeFor>) {
    this.#path = path;
    this.#made = made;
    this.#loaded = loaded;
    this.#pulled = pulled;
  }

  /** A file that cannot be read is as none: images that were loaded are then like others. */
  static async open(path: string, log: Log): Promise<ImageRecords> {
    const text = await readFile(path, 'utf8').catch(() => '{}');
    try {
      const value: unknown = JSON.parse(text);
      const names = (key: string): Set<string> => {
        const list = isRecord(value) ? value[key] : undefined;
        return new Set(Array.isArray(list) ? list.filter((name) => typeof name === 'string') : []);
      };
      return new ImageRecords(path, names('loaded'), names('pulled'), madeIn(value));
    } catch {
      log.warn({ path }, 'the list of loaded images cannot be read; they may be removed when the disk is full');
      return new ImageRecords(path, new Set(), new Set(), new Map());
    }
  }

  /** Somebody brought it here: it stays until somebody takes it away. */
  isLoaded(name: string): boolean { return this.#loaded.has(name); }
  /** It came here for a pod. */
  isPulled(name: string): boolean { return this.#pulled.has(name); }

  async noteLoaded(names: readonly string[]): Promise<void> {
    await this.#change(() => names.map((name) => grows(this.#loaded, name)).includes(true));
  }

  async notePulled(name: string): Promise<void> {
    await this.#change(() => grows(this.#pulled, name));
  }

  /** Images that are not made for every host, by the names that pods know them by, and for which architectures they are. */
  get madeFor(): readonly MadeFor[] { return [...this.#made.values()]; }

  async noteMadeFor(name: string, made: MadeFor): Promise<void> {
    const forAll = hostArchitectures.every((one) => made.architectures.includes(one));
    await this.#change(() => {
      const known = this.#made.get(name);
      if (forAll || equal(known, made)) return forAll && this.#made.delete(name);
      this.#made.delete(name);
      this.#made.set(name, made);
      for (const oldest of this.#made.keys()) if (this.#made.size > maxMade) this.#made.delete(oldest);
      return true;
    });
  }

  async forget(names: readonly string[]): Promise<void> {
    await this.#change(() => names.map((name) => [this.#loaded.delete(name), this.#pulled.delete(name), this.#made.delete(name)].includes(true)).includes(true));
  }

  /** `change` is true when something did. One write after the other, each with all that is known by then. */
  #change(change: () => boolean): Promise<void> {
    if (!change()) return Promise.resolve();
    const write = (): Promise<void> => writeFileAtomic(this.#path, `${JSON.stringify({ loaded: [...this.#loaded], pulled: [...this.#pulled], madeFor: Object.fromEntries(this.#made) })}\n`, 0o600);
    this.#writing = this.#writing.then(write, write);
    return this.#writing;
  }
}

function madeIn(value: unknown): Map<string, MadeFor> {
  const made = isRecord(value) && isRecord(value['madeFor']) ? value['madeFor'] : {};
  return new Map(Object.entries(made).flatMap(([name, one]) => {
    if (!isRecord(one) || typeof one['image'] !== 'string' || !Array.isArray(one['architectures'])) return [];
    return [[name, { image: one['image'], architectures: one['architectures'].filter((each) => typeof each === 'string') }]];
  }));
}

function grows(set: Set<string>, name: string): boolean {
  return set.size < set.add(name).size;
}
