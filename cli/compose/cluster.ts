import { isStatus, StatusError } from '#common/errors.ts';
import type { RestClient } from '../client.ts';
import type { Manifest } from '../manifests.ts';
import { displayName, pathOf, resolveKind, resolveResource, type ResourceType } from '../resources.ts';
import type { Io } from '../types.ts';
import { manager, managerLabel, projectLabel } from './translate.ts';

/** Pods are to be gone before what they use. */
const kinds = ['deployments.apps', 'daemonsets.apps', 'services', 'configmaps', 'secrets', 'persistentvolumeclaims'];

interface Listed { readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> } }
export interface Owned { readonly type: ResourceType; readonly kind: string; readonly name: string; readonly display: string }

/** What there is of the project and not among `objects`. Claims are only counted when asked for: what is in them outlives a service. */
export async function leftOver(client: RestClient, project: string, objects: readonly Manifest[], withClaims = false): Promise<Owned[]> {
  const selector = encodeURIComponent(`${projectLabel}=${project},${managerLabel}=${manager}`);
  const found: Owned[] = [];
  for (const kind of withClaims ? kinds : kinds.slice(0, -1)) {
    const type = await resolveResource(client, kind);
    const { items } = await client.json<{ items: Listed[] }>('GET', `${pathOf(type, client.connection.namespace)}?labelSelector=${selector}`);
    for (const { metadata: { name } } of items) {
      if (!objects.some((object) => object.kind === type.kind && object.metadata.name === name)) found.push({ type, kind: type.kind, name, display: displayName(type, name) });
    }
  }
  return found;
}

/** Throws when an object of that name is there and is not of the project: two files must not take turns with it. */
export async function refuseForeign(client: RestClient, project: string, objects: readonly Manifest[]): Promise<void> {
  for (const manifest of objects) {
    const type = await resolveKind(client, manifest, 'the compose file');
    const name = manifest.metadata.name ?? '';
    const there = await client.find<Listed>(pathOf(type, client.connection.namespace, name));
    const { [projectLabel]: owner, [managerLabel]: by } = there?.metadata.labels ?? {};
    if (!there || (owner === project && by === manager)) continue;
    throw new StatusError('Conflict', `${displayName(type, name)} is there already in the namespace ${client.connection.namespace} and belongs to ${by === manager ? `the project ${owner ?? ''}` : 'something else'}; nothing was changed. Give this project a namespace of its own (cleat apply a Namespace, then -n), or delete what is there`);
  }
}

export async function remove(client: RestClient, doomed: readonly Owned[], { dryRun, suffix }: { readonly dryRun: boolean; readonly suffix: string }, io: Io): Promise<void> {
  for (const { type, name, display } of doomed) {
    try {
      if (!dryRun) await client.json('DELETE', pathOf(type, client.connection.namespace, name), { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Background' });
    } catch (error) {
      if (!isStatus(error, 'NotFound')) throw error;
    }
    io.out(`${display} deleted${suffix}\n`);
  }
}
