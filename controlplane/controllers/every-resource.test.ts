import { expect, it } from 'vitest';
import { configMaps, deployments, type Resource } from '#api/kinds/resources.ts';
import { silentLog } from '#common/log.ts';
import { memoryStore } from '../apiserver/test-server.ts';
import { Informers } from '../cache/informers.ts';
import { currentResources, watchEveryResource } from './every-resource.ts';
import type { ControllerConfig } from './types.ts';

const crontabs = (version: string): Resource => ({ group: 'example.com', version, plural: 'crontabs', kind: 'CronTab', namespaced: true });

it('follows what is defined, also later, each resource once', async () => {
  const store = await memoryStore();
  const stop = new AbortController();
  const informers = new Informers({ store, log: silentLog });
  const running = informers.start(stop.signal);
  let defined: readonly Resource[] = [];
  const listeners = new Set<() => void>();
  const custom = { get resources() { return defined; }, subscribe: (listener: () => void) => { listeners.add(listener); return () => { listeners.delete(listener); }; } };
  const config = { resources: [configMaps, deployments], custom } as unknown as ControllerConfig;
  const define = (...next: readonly Resource[]): void => {
    defined = next;
    for (const listener of listeners) listener();
  };
  const seen: string[] = [];
  const watch = watchEveryResource(informers, config, ({ plural }) => plural !== 'deployments', (resource, { object, old }) => [`${object ? '+' : '-'}${resource.plural}/${(object ?? old)?.metadata?.name ?? ''}`]);
  await watch.synced(stop.signal);
  const end = watch.subscribe((key) => { seen.push(key); });
  const put = (key: string, name: string): Promise<unknown> => store.write({ key, type: 'put', expect: 'any', encode: (revision) => Buffer.from(JSON.stringify({ metadata: { name, resourceVersion: String(revision) } })) });
  const until = async (count: number): Promise<void> => { for (let i = 0; i < 500 && seen.length < count; i++) await new Promise((resolve) => { setImmediate(resolve); }); };

  define(crontabs('v2'), crontabs('v1'), { ...configMaps, version: 'v2' });
  expect(currentResources(config)).toEqual([configMaps, deployments, crontabs('v2')]);
  await put('core/configmaps/default/a', 'a');
  await put('apps/deployments/default/b', 'b');
  await put('example.com/crontabs/default/c', 'c');
  await until(2);
  expect(seen.sort()).toEqual(['+configmaps/a', '+crontabs/c']);

  define();
  define(crontabs('v1'));
  await put('example.com/crontabs/default/d', 'd');
  await until(3);
  expect(seen).toHaveLength(3);
  end();
  expect(listeners.size).toBe(0);
  stop.abort();
  await running;
  await store.close();
});
