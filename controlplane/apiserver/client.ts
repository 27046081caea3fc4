import { decode } from '#api/kinds/engine.ts';
import { apiVersionOf, pods, type Resource } from '#api/kinds/resources.ts';
import { freeze } from '#api/meta/equal.ts';
import { copyJson } from '#api/meta/json.ts';
import type { KubeList, KubeObject } from '#api/meta/object.ts';
import type { Clock } from '#common/clock.ts';
import type { Store } from '#controlplane/store/types.ts';
import { bindPod } from './binding.ts';
import { badRequest } from './api-errors.ts';
import { parseBytes } from './encoding.ts';
import type { KindIndex } from './kind-index.ts';
import { applyPatch } from './patches.ts';
import { listMetadata, listPage } from './resource-lists.ts';
import type { ResourceStore } from './resource-store.ts';
import type { ApiClient, DeleteRequest, PatchType, User } from './types.ts';
import { orphansByDefault } from './write-rules.ts';

/** The API in process: same admission, defaulting and validation as over HTTP, without the wire. */
export class InProcessClient implements ApiClient {
  readonly #store: Store;
  readonly #resources: ResourceStore;
  readonly #kinds: KindIndex;
  readonly #clock: Clock;
  readonly #user: User;

  constructor(deps: { readonly store: Store; readonly resources: ResourceStore; readonly kinds: KindIndex; readonly clock: Clock }, user: User) {
    this.#store = deps.store;
    this.#resources = deps.resources;
    this.#kinds = deps.kinds;
    this.#clock = deps.clock;
    this.#user = user;
  }

  async get<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string): Promise<T> {
    const entry = await this.#resources.entry(this.#kinds.of(resource), namespace, name);
    return freeze(parseBytes(entry.value)) as T;
  }

  async list<T extends KubeObject>(resource: Resource<T>, namespace?: string, options: { labelSelector?: string; fieldSelector?: string } = {}): Promise<KubeList<T>> {
    const page = await listPage(this.#store, this.#kinds.of(resource), namespace, options);
    return {
      apiVersion: apiVersionOf(resource), kind: `${resource.kind}List`, metadata: listMetadata(page),
      items: page.entries.map((entry) => freeze(parseBytes(entry.value)) as T),
    };
  }

  async create<T extends KubeObject>(resource: Resource<T>, object: T): Promise<T> {
    const kind = this.#kinds.of(resource);
    const { object: decoded } = decode(kind, typed(resource, object));
    const { object: created } = await this.#resources.create(kind, resource.namespaced ? requireNamespace(object) : undefined, decoded, this.#options());
    return freeze(created) as T;
  }

  async update<T extends KubeObject>(resource: Resource<T>, object: T, subresource?: 'status' | 'finalize' | 'approval'): Promise<T> {
    const kind = this.#kinds.of(resource);
    const name = object.metadata?.name ?? '';
    const { object: updated } = await this.#resources.update(kind, resource.namespaced ? requireNamespace(object) : undefined, name,
      () => decode(kind, typed(resource, object)).object, { ...this.#options(), subresource });
    return freeze(updated) as T;
  }

  async patch<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string, type: PatchType, patch: unknown, subresource?: 'status'): Promise<T> {
    const kind = this.#kinds.of(resource);
    const { object } = await this.#resources.update(kind, namespace, name, (current) => decode(kind, applyPatch(kind.schema(), current, type, patch)).object, { ...this.#options(), subresource });
    return freeze(object) as T;
  }

  async delete<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string, options: DeleteRequest = {}): Promise<void> {
    const kind = this.#kinds.of(resource);
    // Nobody in process relies on what only old clients expect.
    const propagationPolicy = options.propagationPolicy ?? (orphansByDefault(kind) ? 'Background' : undefined);
    await this.#resources.delete(kind, namespace, name, { ...options, ...(propagationPolicy && { propagationPolicy }) }, this.#options());
  }

  async bind(namespace: string, podName: string, podUid: string, nodeName: string): Promise<void> {
    await bindPod(this.#resources, this.#kinds.of(pods), { namespace, podName, podUid, nodeName }, this.#options(), this.#clock.now());
  }

  #options(): { user: User; dryRun: false } {
    return { user: this.#user, dryRun: false };
  }
}

/** A private copy that says what it is: callers inside may leave `apiVersion` and `kind` out. */
function typed(resource: Resource, object: KubeObject): KubeObject {
  return { ...copyJson(object), apiVersion: object.apiVersion ?? apiVersionOf(resource), kind: object.kind ?? resource.kind };
}

function requireNamespace(object: KubeObject): string {
  const namespace = object.metadata?.namespace;
  if (!namespace) throw badRequest(`an empty namespace may not be set: ${object.metadata?.name ?? ''} needs metadata.namespace`);
  return namespace;
}
