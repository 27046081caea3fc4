import type { PersistentVolume, PersistentVolumeClaim } from '#api/gen/types.ts';
import { nodes, persistentVolumeClaims, persistentVolumes, storageClasses } from '#api/kinds/resources.ts';
import { keyOf, objectKey, splitKey } from '#api/meta/object.ts';
import { isFor, localPathNode, storageClassOf } from '#api/volumes/binding.ts';
import { isStatus, messageOf } from '#common/errors.ts';
import { deleteObject, eventAction, execute } from '../execute.ts';
import { watch, type Controller, type ControllerConfig, type ControllerDeps, type ReconcileResult } from '../types.ts';
import { nodeFor } from './local-path.ts';
import { reconcileClaim, reconcileVolume } from './reconcile.ts';

/** A node that is away comes back when it does: its directory is asked for again after this long. */
const removeAgainMs = 30_000;
const removeTimeoutMs = 120_000;

const forClaim = (claim: PersistentVolumeClaim): string => `claim ${keyOf(claim)}`;
const forVolume = (name: string): string => `volume ${name}`;

/** Binds claims to volumes, makes and removes those of class local-path, and says in both how they are. */
export function persistentVolumeBinder(deps: ControllerDeps, { nodeVolumes }: ControllerConfig): Controller {
  const { informers, client, clock } = deps;
  const claims = informers.informer(persistentVolumeClaims);
  const volumes = informers.informer(persistentVolumes, {
    claimed: ({ spec }) => (spec?.claimRef === undefined ? [] : [objectKey(spec.claimRef.namespace, spec.claimRef.name ?? '')]),
  });
  const classes = informers.informer(storageClasses);
  const nodeLister = informers.informer(nodes);

  /** Claims that a volume or a class of that name may help. */
  const waiting = (className: string): string[] => claims.list().filter((claim) => !claim.spec?.volumeName && storageClassOf(claim) === className).map(forClaim);

  function* volumeChanged({ object, old }: { object: PersistentVolume | undefined; old: PersistentVolume | undefined }): Iterable<string> {
    const volume = object ?? old;
    if (volume === undefined) return;
    if (object) yield forVolume(object.metadata?.name ?? '');
    for (const { spec } of [object ?? {}, old ?? {}]) if (spec?.claimRef) yield `claim ${objectKey(spec.claimRef.namespace, spec.claimRef.name ?? '')}`;
    if (object?.status?.phase === 'Available' && old?.status?.phase !== 'Available') yield* waiting(storageClassOf(object));
    for (const claim of old === undefined || object === undefined ? claims.list().filter(({ spec }) => spec?.volumeName === volume.metadata?.name) : []) yield forClaim(claim);
  }

  /** The claim that the volume names. Only the store can say for certain that it is gone, and with it what is on the volume. */
  async function claimOf({ spec }: PersistentVolume): Promise<PersistentVolumeClaim | undefined> {
    const { name = '', namespace, uid } = spec?.claimRef ?? {};
    if (!uid) return undefined;
    const cached = claims.get(namespace, name);
    if (cached?.metadata?.uid === uid) return cached;
    try {
      const found = await client.get(persistentVolumeClaims, namespace, name);
      return found.metadata?.uid === uid ? found : undefined;
    } catch (error) {
      if (isStatus(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  async function workOnVolume(name: string, signal: AbortSignal): Promise<ReconcileResult | undefined> {
    const volume = volumes.get(undefined, name);
    if (volume === undefined) return undefined;
    const decision = reconcileVolume(volume, await claimOf(volume), clock.now());
    await execute(deps, decision.actions);
    if (!decision.reclaim) return undefined;
    // What was on a node that is no more has gone with it.
    const node = volume.metadata?.annotations?.[localPathNode] ?? '';
    try {
      if (nodeLister.get(undefined, node)) await nodeVolumes?.remove(node, name, AbortSignal.any([signal, AbortSignal.timeout(removeTimeoutMs)]));
    } catch (error) {
      signal.throwIfAborted();
      await execute(deps, [eventAction(persistentVolumes, volume, 'Warning', 'VolumeFailedDelete', messageOf(error))]);
      return { afterMs: removeAgainMs };
    }
    await deleteObject(client, persistentVolumes, volume);
    return undefined;
  }

  async function workOnClaim(key: string): Promise<undefined> {
    const { namespace, name } = splitKey(key);
    const claim = claims.get(namespace, name);
    if (claim === undefined) return;
    try {
      await execute(deps, reconcileClaim({ claim, volumes: volumes.list(), storageClass: classes.get(undefined, storageClassOf(claim)), node: () => nodeFor(claim, nodeLister.list(), volumes.list()) }));
    } catch (error) {
      // Made before, and not seen yet.
      if (!isStatus(error, 'AlreadyExists')) throw error;
    }
  }

  return {
    workers: 4,
    watches: [
      watch(claims, ({ object, old }) => {
        const claim = object ?? old ?? {};
        const taken = [...volumes.by('claimed', keyOf(claim)).filter((volume) => object === undefined || isFor(volume, object)).map(({ metadata }) => metadata?.name), claim.spec?.volumeName];
        return [...(object ? [forClaim(object)] : []), ...taken.flatMap((name) => (name ? [forVolume(name)] : []))];
      }),
      watch(volumes, volumeChanged),
      watch(classes, ({ object }) => (object ? waiting(object.metadata?.name ?? '') : [])),
      { synced: (signal) => nodeLister.synced(signal), subscribe: () => () => undefined },
    ],
    reconcile(key, signal) {
      const space = key.indexOf(' ');
      return key.startsWith('volume ') ? workOnVolume(key.slice(space + 1), signal) : workOnClaim(key.slice(space + 1));
    },
  };
}
