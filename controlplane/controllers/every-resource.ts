import { qualifiedName, type Resource } from '#api/kinds/resources.ts';
import type { KubeObject } from '#api/meta/object.ts';
import type { Change, ControllerConfig, Informers, Watch } from './types.ts';

/** Every resource of a kind, those included that CustomResourceDefinitions define now, and those of other servers. */
export function currentResources({ resources, custom, aggregated }: ControllerConfig): readonly Resource[] {
  const known = new Set(resources.map(qualifiedName));
  // The first version of a custom resource stands for all.
  const defined = new Map([...custom?.resources ?? [], ...aggregated?.resources ?? []].filter((one) => !known.has(qualifiedName(one))).toReversed().map((one) => [qualifiedName(one), one]));
  return [...resources, ...defined.values()];
}

/**
 * A watch on every resource that `follow` wants, now and whenever one is defined. A resource that is no longer defined
 * stays watched: it has no objects, and may come back.
 */
export function watchEveryResource(informers: Informers, config: ControllerConfig, follow: (resource: Resource) => boolean, keys: (resource: Resource, change: Change<KubeObject>) => Iterable<string>): Watch {
  const subscribed = new Set<string>();
  const wanted = (): readonly Resource[] => currentResources(config).filter(follow);
  return {
    synced: async (signal) => { await Promise.all(wanted().map((resource) => informers.informer(resource).synced(signal))); },
    subscribe: (enqueue) => {
      const ends: (() => void)[] = [];
      const update = (): void => {
        for (const resource of wanted()) {
          const name = qualifiedName(resource);
          if (subscribed.has(name)) continue;
          subscribed.add(name);
          ends.push(informers.informer(resource).subscribe((change) => { for (const key of keys(resource, change)) enqueue(key); }));
        }
      };
      update();
      const unsubscribe = [config.custom?.subscribe(update), config.aggregated?.subscribe(update)];
      return () => {
        for (const end of unsubscribe) end?.();
        for (const end of ends) end();
        subscribed.clear();
      };
    },
  };
}
