import type { CrossVersionObjectReference, Scale } from '#api/gen/types.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import { StatusError } from '#common/errors.ts';
import { parseBytes } from './encoding.ts';
import type { KindIndex } from './kind-index.ts';
import type { ResourceStore } from './resource-store.ts';
import { scaleOf, withScale } from './scale.ts';
import type { ScaleClient, User } from './types.ts';

/** The `scale` subresource in process, of any kind that has one. */
export class InProcessScaleClient implements ScaleClient {
  readonly #resources: ResourceStore;
  readonly #kinds: KindIndex;
  readonly #user: User;

  constructor(deps: { readonly resources: ResourceStore; readonly kinds: KindIndex }, user: User) {
    this.#resources = deps.resources;
    this.#kinds = deps.kinds;
    this.#user = user;
  }

  async get(target: CrossVersionObjectReference, namespace: string): Promise<Scale> {
    const { kind, paths } = this.#kindOf(target);
    return scaleOf(paths, parseBytes((await this.#resources.entry(kind, namespace, target.name)).value));
  }

  async update(target: CrossVersionObjectReference, scale: Scale): Promise<void> {
    const { kind, paths } = this.#kindOf(target);
    await this.#resources.update(kind, scale.metadata?.namespace, target.name, (current) => withScale(paths, current, scale), { user: this.#user, dryRun: false, subresource: 'scale' });
  }

  #kindOf({ apiVersion = '', kind: wanted }: CrossVersionObjectReference): { kind: KindDefinition; paths: NonNullable<KindDefinition['scale']> } {
    const [group = ''] = apiVersion.includes('/') ? apiVersion.split('/') : [''];
    const kind = this.#kinds.all.find(({ resource, scale }) => resource.group === group && resource.kind === wanted && scale !== undefined);
    if (kind?.scale === undefined) throw new StatusError('NotFound', `no matches for kind ${JSON.stringify(wanted)} in group ${JSON.stringify(group)}`);
    return { kind, paths: kind.scale };
  }
}
