import type { PersistentVolumeClaim, Pod } from '#api/gen/types.ts';
import { csiDrivers, nodes, persistentVolumeClaims, persistentVolumes, pods, volumeAttachments } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { claimNamesOf } from '#api/volumes/binding.ts';
import { isStatus } from '#common/errors.ts';
import { execute } from '../execute.ts';
import { watch, type Controller, type ControllerDeps } from '../types.ts';
import { reconcileVolume } from './reconcile.ts';

/** Makes and deletes VolumeAttachments, by which the drivers' own attachers attach volumes to nodes. Keys are names of volumes. */
export function attachDetachController(deps: ControllerDeps): Controller {
  const { informers, clock } = deps;
  const podLister = informers.informer(pods);
  const claims = informers.informer(persistentVolumeClaims);
  const volumes = informers.informer(persistentVolumes);
  const drivers = informers.informer(csiDrivers);
  const nodeLister = informers.informer(nodes);
  const attachments = informers.informer(volumeAttachments, { volume: ({ spec }) => (spec.source.persistentVolumeName === undefined ? [] : [spec.source.persistentVolumeName]) });

  const volumeOf = (claim: PersistentVolumeClaim | undefined): string[] => {
    const name = claim?.spec?.volumeName ?? '';
    return name !== '' && volumes.get(undefined, name)?.spec?.csi !== undefined ? [name] : [];
  };
  const volumesOf = (pod: Pod | undefined): string[] => (pod ? claimNamesOf(pod).flatMap((name) => volumeOf(claims.get(pod.metadata?.namespace, name))) : []);
  const isAt = ({ spec, status }: Pod): boolean => (spec?.nodeName ?? '') !== '' && status?.phase !== 'Succeeded' && status?.phase !== 'Failed';
  const attachedTo = (node: string): string[] => attachments.list().filter(({ spec }) => spec.nodeName === node).flatMap(({ spec }) => spec.source.persistentVolumeName ?? []);

  return {
    watches: [
      watch(podLister, ({ object, old }) => ((object && isAt(object)) === (old && isAt(old)) && object?.spec?.nodeName === old?.spec?.nodeName ? [] : volumesOf(object ?? old))),
      watch(claims, ({ object, old }) => (object?.spec?.volumeName === old?.spec?.volumeName ? [] : volumeOf(object ?? old))),
      watch(volumes, ({ object, old }) => (object?.spec?.csi ?? old?.spec?.csi ? [(object ?? old)?.metadata?.name ?? ''] : [])),
      watch(drivers, ({ object, old }) => volumes.list().filter(({ spec }) => spec?.csi?.driver === (object ?? old)?.metadata?.name).map(({ metadata }) => metadata?.name ?? '')),
      watch(attachments, ({ object, old }) => {
        const name = (object ?? old)?.spec.source.persistentVolumeName;
        return name === undefined || (object && old) ? [] : [name];
      }),
      watch(nodeLister, ({ object, old }) => {
        const facts = [object, old].map((node) => [node === undefined, node?.status?.volumesInUse, node?.spec?.taints, node?.status?.conditions?.find(({ type }) => type === 'Ready')?.status]);
        return equal(facts[0], facts[1]) ? [] : attachedTo((object ?? old)?.metadata?.name ?? '');
      }),
    ],
    async reconcile(name) {
      const volume = volumes.get(undefined, name);
      const { claimRef, csi } = volume?.spec ?? {};
      const users = csi === undefined ? [] : podLister.list().filter((pod) => isAt(pod) && pod.metadata?.namespace === claimRef?.namespace && volumesOf(pod).includes(name));
      const { actions, afterMs } = reconcileVolume({
        volume, driver: drivers.get(undefined, csi?.driver ?? ''), pods: users, attachments: attachments.by('volume', name), node: (node) => nodeLister.get(undefined, node), nowMs: clock.now(),
      });
      try {
        await execute(deps, actions);
      } catch (error) {
        // Made before, and not seen yet.
        if (!isStatus(error, 'AlreadyExists')) throw error;
      }
      return { afterMs };
    },
  };
}
