import type { APIService } from '#api/gen/types.ts';
import { apiServices } from '#api/kinds/resources.ts';
import { localPriority, type GroupPriority } from '#api/meta/group-priorities.ts';
import { equal } from '#api/meta/equal.ts';
import { compareVersions } from '#api/meta/versions.ts';
import type { Informer } from '#controlplane/cache/types.ts';
import type { Informers } from '../auth/types.ts';

/** An APIService that another server answers for. */
export interface RemoteService {
  readonly group: string;
  readonly version: string;
  readonly apiService: APIService;
}

/** Never handed on: what the others are found by. */
const own = new Set(['', 'apiregistration.k8s.io']);

/** What APIService objects say: who answers for a group version, and how high it ranks. */
export class ApiServices {
  readonly #informer: Informer<APIService>;
  readonly #remotes = new Map<string, RemoteService>();
  #edition = 0;

  constructor(informers: Informers) {
    this.#informer = informers.informer(apiServices);
    this.#informer.subscribe(({ object, old }) => { this.#follow(object, old); });
  }

  synced(signal: AbortSignal): Promise<void> {
    return this.#informer.synced(signal);
  }

  /** Counts changes of what is served or ranked. */
  get edition(): number { return this.#edition; }

  get remotes(): readonly RemoteService[] { return [...this.#remotes.values()]; }

  /** Called after each change of who answers for what, and whether they can be reached. Returns how to unsubscribe. */
  subscribe(listener: () => void): () => void {
    return this.#informer.subscribe(listener);
  }

  /** The other server that answers for a group version; undefined: this one does. */
  remote(group: string, version: string): RemoteService | undefined {
    return this.#remotes.size === 0 ? undefined : this.#remotes.get(`${group}/${version}`);
  }

  /** The available one of a group with the highest version; undefined where there is none. */
  newest(group: string): RemoteService | undefined {
    return this.remotes.filter((remote) => remote.group === group && isAvailable(remote)).sort((a, b) => compareVersions(a.version, b.version))[0];
  }

  priority(group: string, version: string): GroupPriority {
    return this.#informer.get(undefined, `${version}.${group}`)?.spec ?? localPriority(group, version);
  }

  #follow(object: APIService | undefined, old: APIService | undefined): void {
    const { group = '', version = '' } = (object ?? old)?.spec ?? {};
    const key = `${group}/${version}`;
    if (object?.spec?.service && !own.has(group)) this.#remotes.set(key, { group, version, apiService: object });
    else this.#remotes.delete(key);
    if (!equal(object?.spec, old?.spec)) this.#edition += 1;
  }
}

export function isAvailable({ apiService }: RemoteService): boolean {
  return apiService.status?.conditions?.some(({ type, status }) => type === 'Available' && status === 'True') ?? false;
}
