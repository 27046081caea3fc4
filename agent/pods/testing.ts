import type { ConfigMap, CSIDriver, Pod, RuntimeClass, Secret, Service, VolumeAttachment } from '#api/gen/types.ts';
import { configMaps, csiDrivers, nodes, pods, runtimeClasses, secrets, services, volumeAttachments, type Resource } from '#api/kinds/resources.ts';
import { objectKey, type KubeObject } from '#api/meta/object.ts';
import type { DesiredState, StateChange } from '#agent/state/types.ts';
import { helloImage } from '#install/images.ts';
import type { PodManagerDeps } from './manager.ts';
import type { PodManagerConfig } from './types.ts';

/** For tests: a desired state in memory that is changed by hand. */
export class MemoryState implements DesiredState {
  known = true;
  reliable = true;
  readonly #objects = new Map<string, { resource: Resource; object: KubeObject }>();
  readonly #listeners = new Set<(changes: readonly StateChange[]) => void>();

  get<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string): T | undefined {
    return this.#objects.get(`${resource.plural}/${objectKey(namespace, name)}`)?.object as T | undefined;
  }

  list<T extends KubeObject>(resource: Resource<T>): readonly T[] {
    return [...this.#objects.values()].filter((o) => o.resource.plural === resource.plural).map((o) => o.object as T);
  }

  subscribe(listener: (changes: readonly StateChange[]) => void): () => void {
    this.#listeners.add(listener);
    return () => { this.#listeners.delete(listener); };
  }

  set(...objects: (Pod | ConfigMap | CSIDriver | RuntimeClass | Secret | Service | VolumeAttachment)[]): void {
    this.tell(objects.map((object) => {
      const resource = [pods, configMaps, runtimeClasses, secrets, services, nodes, csiDrivers, volumeAttachments].find((r) => r.kind === object.kind);
      if (!resource) throw new Error(`no resource for ${object.kind ?? ''}`);
      this.#objects.set(`${resource.plural}/${objectKey(object.metadata?.namespace, object.metadata?.name ?? '')}`, { resource, object });
      return { type: 'set', resource, object };
    }));
  }

  remove(resource: Resource, namespace: string, name: string): void {
    this.#objects.delete(`${resource.plural}/${objectKey(namespace, name)}`);
    this.tell([{ type: 'remove', resource, namespace, name }]);
  }

  tell(changes: readonly StateChange[]): void {
    for (const listener of this.#listeners) listener(changes);
  }
}

/** A pod of one container named `app` that runs until told otherwise. */
export function testPod(name: string, spec: Partial<NonNullable<Pod['spec']>> = {}, metadata: Pod['metadata'] = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', uid: `${name}-uid`, ...metadata },
    spec: { containers: [testContainer('app')], restartPolicy: 'Always', terminationGracePeriodSeconds: 30, ...spec },
  };
}

type Container = NonNullable<Pod['spec']>['containers'][number];

export function testContainer(name: string, change: Partial<Container> = {}): Container {
  return { name, image: helloImage, imagePullPolicy: 'IfNotPresent', command: ['sh', '-c', 'sleep 100000'], ...change };
}

/** For tests: a host with room, as pods ask for it. */
export const testNode: PodManagerDeps['node'] = {
  hostIps: () => ['192.0.2.1'], allocatable: () => ({ cpuMillis: 4000, memoryBytes: 1 << 30 }), usage: () => Promise.resolve({ cpuMillis: 1, memoryBytes: 2, cpuSeconds: 3 }),
};

/** For tests: a manager of pods whose files are in `stateDir`. */
export function testManagerConfig(stateDir: string, change: Partial<PodManagerConfig> = {}): PodManagerConfig {
  return { nodeName: 'node', stateDir, cgroupRoot: '/cleat-none', clusterDomain: 'cluster.local', clusterDns: [], resolvConfPath: '/dev/null', allowedUnsafeSysctls: [], parallelStarts: 4, ...change };
}
