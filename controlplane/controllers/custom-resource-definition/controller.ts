import type { CustomResourceDefinition } from '#api/gen/types.ts';
import { customResourceDefinitions, type Resource } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { isStatus } from '#common/errors.ts';
import { deleteObject } from '../execute.ts';
import { watch, type Controller, type ControllerDeps } from '../types.ts';
import { cleanupFinalizer, namingStatus, terminatingStatus } from './reconcile.ts';

/** Deletes in flight at a time. */
const batchSize = 16;
/** How often to look whether the objects of a definition that is being deleted have gone: whoever holds them may take his time. */
const lookAgainMs = 1_000;

/** Gives definitions their names, establishes them, and deletes their objects before they go themselves. */
export function customResourceDefinitionController({ informers, client, clock }: ControllerDeps): Controller {
  const lister = informers.informer(customResourceDefinitions);

  async function deleteObjects(definition: CustomResourceDefinition, signal: AbortSignal): Promise<number> {
    const resource = storageResource(definition);
    if (!resource) return 0;
    const objects = await list(resource);
    const waiting = objects.filter(({ metadata }) => metadata?.deletionTimestamp === undefined);
    for (let i = 0; i < waiting.length; i += batchSize) {
      signal.throwIfAborted();
      await Promise.all(waiting.slice(i, i + batchSize).map((object) => deleteObject(client, resource, object)));
    }
    return waiting.length === 0 ? objects.length : (await list(resource)).length;
  }

  /** None where the definition was never served. */
  async function list(resource: Resource): Promise<readonly KubeObject[]> {
    try {
      return (await client.list(resource)).items;
    } catch (error) {
      if (isStatus(error, 'NotFound')) return [];
      throw error;
    }
  }

  async function writeStatus(definition: CustomResourceDefinition, status: CustomResourceDefinition['status']): Promise<CustomResourceDefinition> {
    return equal(status, definition.status) ? definition : client.update(customResourceDefinitions, { ...definition, status }, 'status');
  }

  async function finish(definition: CustomResourceDefinition, signal: AbortSignal): Promise<{ afterMs: number } | undefined> {
    if (!definition.metadata?.finalizers?.includes(cleanupFinalizer)) return undefined;
    const left = await deleteObjects(definition, signal);
    const updated = await writeStatus(definition, terminatingStatus(definition, left, clock.now()));
    if (left > 0) return { afterMs: lookAgainMs };
    const finalizers = updated.metadata?.finalizers?.filter((name) => name !== cleanupFinalizer) ?? [];
    await client.update(customResourceDefinitions, { ...updated, metadata: { ...updated.metadata, finalizers } });
    return undefined;
  }

  return {
    watches: [watch(lister, ({ object, old }) => {
      const changed = object ?? old;
      // Names that one gives up another may be waiting for.
      const group = lister.list().filter((one) => one.spec.group === changed?.spec.group);
      return [changed, ...group].flatMap((one) => one?.metadata?.name ?? []);
    })],
    async reconcile(name, signal) {
      const definition = lister.get(undefined, name);
      if (!definition) return undefined;
      if (definition.metadata?.deletionTimestamp !== undefined) return finish(definition, signal);
      await writeStatus(definition, namingStatus(definition, lister.list(), clock.now()));
      return undefined;
    },
  };
}

function storageResource({ spec, status }: CustomResourceDefinition): Resource | undefined {
  const established = status?.conditions?.some((condition) => condition.type === 'Established' && condition.status === 'True');
  const version = spec.versions.find(({ storage }) => storage)?.name;
  return established && version !== undefined ? { group: spec.group, version, plural: spec.names.plural, kind: spec.names.kind, namespaced: spec.scope === 'Namespaced' } : undefined;
}
