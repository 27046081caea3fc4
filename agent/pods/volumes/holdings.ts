import type { Pod } from '#api/gen/types.ts';
import type { DiskUsage } from '#common/disk-usage.ts';
import type { RuntimeDriver } from '#agent/runtimes/types.ts';
import type { ContainerUsage, UsageReport, VolumeAmounts } from '#agent/session/types.ts';
import type { Held, PodHoldings } from './meter.ts';
import { ofFileSystem } from './stats.ts';

export interface DiskPlaces {
  readonly driver: Pick<RuntimeDriver, 'imageFolder' | 'listImages'>;
  readonly stateDir: string;
}

/** The report with what this host's disk holds: by volume, container and pod, and in all. */
export async function withHoldings(report: UsageReport, pods: readonly Pod[], held: Held, { driver, stateDir }: DiskPlaces, signal: AbortSignal): Promise<UsageReport> {
  const [disk, imageDisk] = await Promise.all([ofFileSystem(stateDir), imageFileSystem(driver, signal).catch(() => undefined)]);
  const specs = new Map(pods.map((pod) => [pod.metadata?.uid ?? '', pod]));
  return {
    ...report,
    node: { ...report.node, disk, ...(imageDisk && { imageDisk }) },
    pods: report.pods.map((pod) => {
      const holdings = held.pods.get(pod.uid);
      const containers = pod.containers.map((container) => {
        const [counted, logs] = [held.written.get(container.id), holdings?.logs.get(container.name)];
        return { ...container, ...(counted && { writableBytes: counted.bytes, writableInodes: counted.inodes }), ...(logs && { logs }) };
      });
      const spec = specs.get(pod.uid);
      return { ...pod, containers, volumes: holdings?.volumes ?? [], ...(holdings && spec && { ephemeral: ephemeralOf(spec, holdings, containers) }) };
    }),
  };
}

/** As kubelet counts: what containers and their logs hold, and the volumes that live with the pod on the host's disk. */
function ephemeralOf({ spec }: Pod, { volumes, logs }: PodHoldings, containers: readonly Pick<ContainerUsage, 'writableBytes' | 'writableInodes'>[]): DiskUsage {
  const local = new Set((spec?.volumes ?? []).filter(({ emptyDir, configMap }) => configMap !== undefined || (emptyDir && (emptyDir.medium ?? '') === '')).map(({ name }) => name));
  const parts: DiskUsage[] = [
    ...logs.values(), ...containers.map(({ writableBytes = 0, writableInodes = 0 }) => ({ bytes: writableBytes, inodes: writableInodes })),
    ...volumes.filter(({ name }) => local.has(name)).map(({ usedBytes = 0, inodesUsed = 0 }) => ({ bytes: usedBytes, inodes: inodesUsed })),
  ];
  return parts.reduce((sum, part) => ({ bytes: sum.bytes + part.bytes, inodes: sum.inodes + part.inodes }), { bytes: 0, inodes: 0 });
}

async function imageFileSystem(driver: DiskPlaces['driver'], signal: AbortSignal): Promise<VolumeAmounts> {
  const [folder, images] = await Promise.all([driver.imageFolder(signal), driver.listImages(signal)]);
  const { inodesUsed: _unknown, ...whole } = await ofFileSystem(folder);
  return { ...whole, usedBytes: images.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) };
}
