import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Pod, ResourceRequirements } from '#api/gen/types.ts';
import { equal } from '#api/meta/equal.ts';
import { isRecord } from '#api/meta/json.ts';
import type { NodeCapacity, ResizeRefusal } from './capacity.ts';
import { resourcesOf, sameResources, withResources, type ResourcesByName } from './resources.ts';

/** The whole pod's cgroup, among the names of containers. */
export const wholePod = '';

/** A change of resources on its way; as `step` and the status look at it. */
export interface ResizeView {
  /** Set while the pod cannot have what is asked for. */
  readonly refusal: ResizeRefusal | undefined;
  /** By container name (and `wholePod`): what it still has where it has been given something else. */
  readonly former: ResourcesByName;
}

/**
 * What a pod has been given, which its spec may have left behind: a running pod gets more only when the node has it.
 * Kept in a file among the pod's, so that a later agent knows what the containers were made with.
 */
export class PodAllocation {
  readonly #path: string;
  readonly #capacity: Pick<NodeCapacity, 'resize'>;
  #given: Map<string, ResourceRequirements> | undefined;
  #former = new Map<string, ResourceRequirements>();
  #refusal: ResizeRefusal | undefined;

  constructor(path: string, capacity: Pick<NodeCapacity, 'resize'>) {
    this.#path = path;
    this.#capacity = capacity;
  }

  get view(): ResizeView | undefined {
    return this.#refusal === undefined && this.#former.size === 0 ? undefined : { refusal: this.#refusal, former: this.#former };
  }

  /** Reads what an earlier agent wrote down. What cannot be read is as if the containers were made as the pod is now. */
  async load(): Promise<void> {
    let value: unknown;
    try {
      value = JSON.parse(await readFile(this.#path, 'utf8'));
    } catch {
      return;
    }
    if (!isRecord(value)) return;
    this.#given = mapOf(value['given']);
    this.#former = mapOf(value['former']) ?? new Map();
  }

  /** The pod with what it has been given. */
  of(pod: Pod): Pod {
    return this.#given ? withResources(pod, this.#given) : pod;
  }

  /** Gives a new pod what it asks for. A disk that is full keeps no pod from starting here. */
  async begin(pod: Pod): Promise<void> {
    if (this.#given) return;
    this.#given = resourcesOf(pod);
    await this.#save().catch(() => undefined);
  }

  /** Gives a running pod what its spec asks for now, if the node has it. Resolves with true when anything changed. */
  async follow(wanted: Pod): Promise<boolean> {
    const asked = resourcesOf(wanted);
    const given = this.#given;
    if (!given || sameResources(asked, given)) {
      const changed = this.#refusal !== undefined;
      this.#refusal = undefined;
      return changed;
    }
    const before = this.#refusal;
    this.#refusal = this.#capacity.resize(wanted);
    if (this.#refusal) return !equal(before, this.#refusal);
    const had = new Map([...given, ...this.#former]);
    this.#given = asked;
    this.#former = new Map([...had].filter(([name, resources]) => !equal(asked.get(name), resources)));
    this.#former.set(wholePod, {});
    await this.#save();
    return true;
  }

  /** The container, or the whole pod, has now what it was given. */
  async reached(name: string): Promise<void> {
    if (this.#former.delete(name)) await this.#save();
  }

  /** Not synced: with a power cut the containers are gone too. */
  async #save(): Promise<void> {
    const fresh = `${this.#path}.new`;
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o755 });
    await writeFile(fresh, JSON.stringify({ given: Object.fromEntries(this.#given ?? []), former: Object.fromEntries(this.#former) }), { mode: 0o600 });
    await rename(fresh, this.#path);
  }
}

function mapOf(value: unknown): Map<string, ResourceRequirements> | undefined {
  return isRecord(value) ? new Map(Object.entries(value).filter((entry): entry is [string, ResourceRequirements] => isRecord(entry[1]))) : undefined;
}
