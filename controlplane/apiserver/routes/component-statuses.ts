import type { ComponentStatus } from '#api/gen/types.ts';
import { column, nameColumn } from '#api/meta/columns.ts';
import { getCondition } from '#api/meta/conditions.ts';
import type { TableColumn } from '#api/kinds/types.ts';
import { renderTable } from '#api/meta/table.ts';
import { messageOf } from '#common/errors.ts';
import { storeKey } from '#controlplane/store/keys.ts';
import { methodNotAllowed, notFound } from '../api-errors.ts';
import { partialMetadata } from '../event-format.ts';
import { objectForm } from '../http/accept.ts';
import { json, type Reply } from '../http/reply.ts';
import type { ResourceCall, RouteDeps } from './types.ts';

const resource = { group: '', version: 'v1', plural: 'componentstatuses', kind: 'ComponentStatus', namespaced: false } as const;
const warnings = ['v1 ComponentStatus is deprecated in v1.19+'];

const columns: readonly TableColumn<ComponentStatus>[] = [
  nameColumn(),
  column('Status', 'Healthy or Unhealthy', ({ conditions }) => (getCondition(conditions, 'Healthy')?.status === 'True' ? 'Healthy' : 'Unhealthy')),
  column('Message', 'What it says of itself', ({ conditions }) => getCondition(conditions, 'Healthy')?.message ?? ''),
  column('Error', 'What went wrong', ({ conditions }) => conditions?.find(({ type }) => type === 'Healthy')?.error ?? ''),
];

/** What old tools ask for before anything else. The parts of a control plane are one process: who answers is well, but for its store. */
export async function serveComponentStatuses({ clock, store }: RouteDeps, { path, request, verb }: ResourceCall): Promise<Reply> {
  if ((verb !== 'get' && verb !== 'list') || path.subresource !== undefined) throw methodNotAllowed(resource, verb);
  const form = objectForm(request, path.name === undefined ? 'list' : 'item');
  const all = [status('controller-manager'), status('etcd-0', await storeError(store)), status('scheduler')];
  const chosen = all.filter(({ metadata }) => path.name === undefined || metadata?.name === path.name);
  const [first] = chosen;
  if (first === undefined) throw notFound(resource, path.name ?? '');
  if (form.form === 'table') return { ...json(renderTable({ columns }, chosen, clock.now(), form)), warnings };
  const items = form.form === 'metadata' ? chosen.map((item) => partialMetadata(item, form.apiVersion)) : chosen;
  if (path.name !== undefined) return { ...json(items[0]), warnings };
  const [kind, apiVersion] = form.form === 'metadata' ? ['PartialObjectMetadataList', form.apiVersion] : ['ComponentStatusList', 'v1'];
  return { ...json({ kind, apiVersion, metadata: {}, items }), warnings };
}

function status(name: string, error?: string): ComponentStatus {
  const condition = error === undefined ? { type: 'Healthy', status: 'True', message: 'ok' } : { type: 'Healthy', status: 'False', error };
  return { kind: 'ComponentStatus', apiVersion: 'v1', metadata: { name }, conditions: [condition] };
}

async function storeError(store: RouteDeps['store']): Promise<string | undefined> {
  try {
    await store.get(storeKey({ group: '', plural: 'namespaces' }, undefined, 'default'));
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
