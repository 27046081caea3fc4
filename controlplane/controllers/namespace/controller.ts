import type { Namespace } from '#api/gen/types.ts';
import { events, namespaces, pods, qualifiedName, type Resource } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { messageOf } from '#common/errors.ts';
import { currentResources, watchEveryResource } from '../every-resource.ts';
import { deleteObject } from '../execute.ts';
import { watch, type Controller, type ControllerConfig, type ControllerDeps } from '../types.ts';
import { contentConditions, finalizer, isTerminating, type Leftover } from './reconcile.ts';

/** Deletes in flight at a time. */
const batchSize = 16;

/** Empties namespaces that are being deleted, pods first, and lets them go when nothing is left. */
export function namespaceController(deps: ControllerDeps, config: ControllerConfig): Controller {
  const { informers, client, clock } = deps;
  const lister = informers.informer(namespaces);
  const contents = (): readonly Resource[] => currentResources(config).filter((resource) => resource.namespaced);
  const isPods = (resource: Resource): boolean => qualifiedName(resource) === qualifiedName(pods);

  async function deleteAll(resource: Resource, objects: readonly KubeObject[], signal: AbortSignal): Promise<void> {
    const waiting = objects.filter((object) => object.metadata?.deletionTimestamp === undefined);
    for (let i = 0; i < waiting.length; i += batchSize) {
      signal.throwIfAborted();
      await Promise.all(waiting.slice(i, i + batchSize).map((object) => deleteObject(client, resource, object)));
    }
  }

  /** Asks the API, not the cache: what the cache has not seen yet would be left behind. */
  async function empty(resources: readonly Resource[], namespace: string, signal: AbortSignal): Promise<{ leftovers: Leftover[]; failures: string[] }> {
    const leftovers: Leftover[] = [];
    const failures: string[] = [];
    for (const resource of resources) {
      try {
        const { items } = await client.list(resource, namespace);
        if (items.length === 0) continue;
        await deleteAll(resource, items, signal);
        const { items: left } = await client.list(resource, namespace);
        if (left.length > 0) leftovers.push({ resource, objects: left });
      } catch (error) {
        signal.throwIfAborted();
        failures.push(`${qualifiedName(resource)}: ${messageOf(error)}`);
      }
    }
    return { leftovers, failures };
  }

  async function writeConditions(namespace: Namespace, leftovers: readonly Leftover[], failures: readonly string[], unknown: readonly string[]): Promise<Namespace> {
    const conditions = contentConditions(namespace, { leftovers, failures, unknown }, clock.now());
    if (namespace.status?.phase === 'Terminating' && equal(conditions, namespace.status.conditions ?? [])) return namespace;
    return client.update(namespaces, { ...namespace, status: { ...namespace.status, phase: 'Terminating', conditions } }, 'status');
  }

  const finishing = (name: string | undefined): string[] => (name !== undefined && isTerminating(lister.get(undefined, name)) ? [name] : []);
  return {
    watches: [
      watch(lister, ({ object }) => finishing(object?.metadata?.name)),
      // Events go at once when deleted, nobody has to wait for them.
      watchEveryResource(informers, config, (resource) => resource.namespaced && qualifiedName(resource) !== qualifiedName(events),
        (_, { object, old }) => (object === undefined ? finishing(old?.metadata?.namespace) : [])),
    ],
    async reconcile(name, signal) {
      const namespace = lister.get(undefined, name);
      if (!isTerminating(namespace)) return undefined;
      let { leftovers, failures } = await empty(contents().filter(isPods), name, signal);
      if (leftovers.length === 0 && failures.length === 0) {
        ({ leftovers, failures } = await empty(contents().filter((resource) => !isPods(resource)), name, signal));
      }
      const unknown = config.aggregated?.unknown ?? [];
      const updated = await writeConditions(namespace, leftovers, failures, unknown);
      if (unknown.length > 0) throw new Error(`what these API servers keep is not known: ${unknown.join(', ')}`);
      if (failures.length > 0) throw new Error(failures.join('; '));
      if (leftovers.length > 0) return undefined;
      const finalizers = updated.spec?.finalizers?.filter((f) => f !== finalizer) ?? [];
      await client.update(namespaces, { ...updated, spec: { ...updated.spec, finalizers } }, 'finalize');
      return undefined;
    },
  };
}
