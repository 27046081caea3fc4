import { apiVersionOf, type Resource } from '#api/kinds/resources.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { isStatus } from '#common/errors.ts';
import type { ApiClient, DeleteRequest, EventRecorder } from '../apiserver/types.ts';
import type { Action } from './types.ts';

export interface ExecuteDeps {
  readonly client: ApiClient;
  readonly events: EventRecorder;
}

/** Performs `actions` in order and stops at the first that fails, so that no event tells of what did not happen. */
export async function execute(deps: ExecuteDeps, actions: readonly Action[]): Promise<void> {
  for (const action of actions) {
    if (action.type === 'event') deps.events.event(action.about, action.severity, action.reason, action.message);
    else await write(deps.client, action);
  }
}

async function write(client: ApiClient, action: Exclude<Action, { type: 'event' }>): Promise<void> {
  switch (action.type) {
    case 'create': await client.create(action.resource, action.object); break;
    case 'update': await client.update(action.resource, action.object, action.subresource); break;
    case 'patch': await client.patch(action.resource, action.namespace, action.name, 'merge', action.patch, action.subresource); break;
    case 'delete': await deleteObject(client, action.resource, action.object, action.options); break;
  }
}

/** Deletes exactly this object (by uid). False when it, or the object of that uid, is gone already. */
export async function deleteObject(client: ApiClient, resource: Resource, object: KubeObject, options: Omit<DeleteRequest, 'preconditions'> = {}): Promise<boolean> {
  const { uid } = object.metadata ?? {};
  return deleteIf(client, resource, object, uid === undefined ? options : { ...options, preconditions: { uid } });
}

/**
 * Deletes the object as it was judged: one that was not ready may be so by now. False when it has changed, which the
 * cache is about to show, or is gone already.
 */
export async function deleteAsSeen(client: ApiClient, resource: Resource, object: KubeObject): Promise<boolean> {
  const { uid, resourceVersion } = object.metadata ?? {};
  return deleteIf(client, resource, object, { preconditions: { ...(uid !== undefined && { uid }), ...(resourceVersion !== undefined && { resourceVersion }) } });
}

async function deleteIf(client: ApiClient, resource: Resource, object: KubeObject, request: DeleteRequest): Promise<boolean> {
  try {
    await client.delete(resource, object.metadata?.namespace, object.metadata?.name ?? '', request);
    return true;
  } catch (error) {
    // A Conflict says that it is another object or another version.
    if (isStatus(error, 'NotFound', 'Conflict')) return false;
    throw error;
  }
}

/** An event about `object`, whose kind is `resource`'s. */
export function eventAction(resource: Resource, object: KubeObject, severity: 'Normal' | 'Warning', reason: string, message: string): Action {
  return { type: 'event', about: { ...object, apiVersion: apiVersionOf(resource), kind: resource.kind }, severity, reason, message };
}

/** A create that was refused because its namespace is going away: nothing to report and nothing to retry. */
export function isNamespaceTerminating(error: unknown): boolean {
  return isStatus(error, 'Forbidden') && (error.details?.causes?.some((cause) => cause.reason === 'NamespaceTerminating') ?? false);
}
