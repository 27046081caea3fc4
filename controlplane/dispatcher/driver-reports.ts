import type { CSINode, CSINodeDriver, Node } from '#api/gen/types.ts';
import { csiNodes } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { isStatus } from '#common/errors.ts';
import type { ApiClient } from '../apiserver/types.ts';
import type { VolumeExpansion } from './expansions.ts';

/** What a node says of its CSI drivers. Those that it does not speak of stay: it may not have looked at them yet. */
export interface DriverReport {
  readonly drivers: readonly CSINodeDriver[];
  readonly gone: readonly string[];
  /** How it went when volumes were to grow there; see expansions.ts. */
  readonly expansions?: readonly VolumeExpansion[];
}

/** Keeps the node's CSINode, which is made with its first driver. */
export async function storeDriverReport(api: ApiClient, node: Node, report: DriverReport): Promise<void> {
  const name = node.metadata?.name ?? '';
  const found = await api.get(csiNodes, undefined, name).catch((error: unknown) => {
    if (isStatus(error, 'NotFound')) return undefined;
    throw error;
  });
  if (!found) {
    if (report.drivers.length > 0) await api.create(csiNodes, fresh(node, report.drivers));
    return;
  }
  const before = found.spec.drivers ?? [];
  const after = mergeDrivers(before, report);
  if (equal(before, after)) return;
  // What a driver calls the node must not change; one that is another now goes first and then comes.
  const kept = before.filter((driver) => sameIdentity(driver, after.find((other) => other.name === driver.name)));
  const current = kept.length < before.length ? await api.update(csiNodes, { ...found, spec: { ...found.spec, drivers: kept } }) : found;
  if (!equal(kept, after)) await api.update(csiNodes, { ...current, spec: { ...current.spec, drivers: after } });
}

export function mergeDrivers(before: readonly CSINodeDriver[], { drivers, gone }: DriverReport): CSINodeDriver[] {
  const told = new Map(drivers.map((driver) => [driver.name, driver]));
  const kept = before.filter(({ name }) => told.has(name) || !gone.includes(name)).map((driver) => told.get(driver.name) ?? driver);
  return [...kept, ...drivers.filter(({ name }) => !before.some((driver) => driver.name === name))];
}

function sameIdentity(a: CSINodeDriver, b: CSINodeDriver | undefined): boolean {
  return b !== undefined && a.nodeID === b.nodeID && equal(a.topologyKeys ?? [], b.topologyKeys ?? []);
}

function fresh({ metadata }: Node, drivers: readonly CSINodeDriver[]): CSINode {
  const { name = '', uid = '' } = metadata ?? {};
  return { apiVersion: 'storage.k8s.io/v1', kind: 'CSINode', metadata: { name, ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name, uid }] }, spec: { drivers: [...drivers] } };
}
