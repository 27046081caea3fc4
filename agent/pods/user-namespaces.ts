import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Pod } from '#api/gen/types.ts';
import { StatusError } from '#common/errors.ts';
import type { IdRange } from '#agent/runtimes/types.ts';
import { Limit } from '#common/limit.ts';
import { podPathsOf, podsDir, type PodPaths } from './paths.ts';
import type { NodeFacts } from './types.ts';

/** As many as a pod has, and as ranges of pods begin at multiples of; kubelet's. */
const unit = 65_536;
/** The kernel has no id -1, so that the last range of all is nobody's. */
const end = 2 ** 32 - unit;
/** Whose entry in /etc/subuid says what pods may be given, as for a kubelet. */
const owner = 'kubelet';

/** Why drivers cannot do it; of a CRI runtime, what it takes. */
const reasons: Readonly<Record<string, string>> = {
  cri: 'that takes containerd from 2.0 on or CRI-O from 1.25 on, with runc from 1.2 on or crun from 1.9 on',
  docker: 'Docker maps the users of all its containers, or of none',
  ctr: 'it is done by a containerd from 2.0 on whose CRI is switched on',
};

/** Why the pod cannot have users of its own, in kubelet's words and some more; undefined when it can, or does not ask for them. `handler`: what its RuntimeClass calls for. */
export function userNamespaceProblem({ spec }: Pod, handler: string, node: NodeFacts, driver: string): string | undefined {
  if (spec?.hostUsers !== false) return undefined;
  if (node.runtimeHandlers?.().find(({ name = '' }) => name === handler)?.features?.userNamespaces === true) return undefined;
  const which = handler === '' ? 'runtime' : `RuntimeClass handler ${JSON.stringify(handler)}`;
  return `can't set \`spec.hostUsers: false\`, ${which} does not support user namespaces${reasons[driver] === undefined ? '' : `: ${reasons[driver]}`}`;
}

export interface UserRangesConfig {
  readonly stateDir: string;
  /** Where `subuid` and `subgid` are; `/etc`. */
  readonly etcDir?: string;
}

/**
 * Gives pods that have users of their own the host's ids for them: each a range that no other pod of this host has. A
 * range is kept as the name of a file in its pod's folder, and is free when that is gone. So it is the same after a
 * restart, whatever else is known of the pod by then, and there is nothing to read that could be torn.
 */
export class UserRanges {
  readonly #config: UserRangesConfig;
  readonly #turn = new Limit(1);

  constructor(config: UserRangesConfig) {
    this.#config = config;
  }

  /** The range that the pod has, or, from now on, a free one. Rejects with `Invalid` where there is none to be had. */
  async of(paths: PodPaths): Promise<IdRange> {
    const first = await this.#turn.run(async () => (await held(paths))[0] ?? this.#take(paths));
    return { first, length: unit };
  }

  async #take(paths: PodPaths): Promise<number> {
    const dir = podsDir(this.#config.stateDir);
    const taken = new Set((await Promise.all((await readdir(dir)).map((name) => held(podPathsOf(this.#config.stateDir, name))))).flat());
    const { from, until, others } = await this.#mayGive();
    for (let first = from; first < until; first += unit) {
      if (taken.has(first) || others.some((range) => range.first < first + unit && first < range.first + range.length)) continue;
      await mkdir(paths.users, { recursive: true, mode: 0o700 });
      await writeFile(join(paths.users, String(first)), '', { flag: 'wx', mode: 0o600 });
      return first;
    }
    throw new StatusError('Invalid', `create user namespace: could not find an empty slot to allocate a user namespace: ${String(taken.size)} pods of this host have all ids from ${String(from)} on that /etc/subuid and /etc/subgid leave; give "${owner}" more of them there`);
  }

  /** What was set aside for pods; or else all that is neither the system's nor anybody's who may map it already. */
  async #mayGive(): Promise<{ from: number; until: number; others: readonly IdRange[] }> {
    const all = (await Promise.all(['subuid', 'subgid'].map((name) => subordinates(join(this.#config.etcDir ?? '/etc', name))))).flat();
    const [own, ofGroups, ...more] = all.filter(({ name }) => name === owner);
    if (!own) return { from: unit, until: end, others: all };
    const { first, length } = own;
    if (ofGroups?.first !== first || ofGroups.length !== length || more.length > 0) {
      throw new StatusError('Invalid', `kubelet mappings: /etc/subuid and /etc/subgid must each have one entry of "${owner}", and the same one`);
    }
    if (first < unit || first % unit !== 0 || length % unit !== 0) {
      throw new StatusError('Invalid', `kubelet mappings: the entry of "${owner}" in /etc/subuid, ${String(first)}:${String(length)}, must begin at a multiple of ${String(unit)} that is not 0, and be a multiple of it long`);
    }
    return { from: first, until: Math.min(end, first + length), others: [] };
  }
}

/** First ids of what a pod has: none, or one. Rejects where that cannot be found out. */
async function held({ users }: PodPaths): Promise<number[]> {
  const names = await readdir(users).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return [];
    throw new StatusError('InternalError', `cannot tell which user ids a pod has: ${error.message}`, { cause: error });
  });
  return names.filter((name) => /^\d+$/.test(name)).map(Number);
}

/** Entries of a file like /etc/subuid: who may map which ids. */
async function subordinates(path: string): Promise<(IdRange & { readonly name: string })[]> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw new StatusError('InternalError', `cannot tell whose ids are whose: ${error.message}`, { cause: error });
  });
  return [...text.matchAll(/^([^:\n]+):(\d+):(\d+)$/gm)].map(([, name = '', first, length]) => ({ name, first: Number(first), length: Number(length) }));
}
