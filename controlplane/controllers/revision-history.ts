import type { ControllerRevision, PodTemplateSpec } from '#api/gen/types.ts';
import { apiVersionOf, controllerRevisions, type Resource } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { isStatus } from '#common/errors.ts';
import { execute, type ExecuteDeps } from './execute.ts';
import { claim, controllerReference, isControlledBy } from './owner-refs.ts';
import { templateHash } from './template-hash.ts';
import type { Action } from './types.ts';

/** Label of a pod: which revision it was made from. */
export const revisionLabel = 'controller-revision-hash';

export interface HistorySnapshot {
  readonly resource: Resource;
  readonly owner: KubeObject;
  readonly template: PodTemplateSpec;
  readonly collisionCount: number | undefined;
  /** Those it controls and those of its namespace that nobody controls. */
  readonly revisions: readonly ControllerRevision[];
  readonly matches: (revision: ControllerRevision) => boolean;
  /** Labels of a new revision beside those of the template; `hash` is its own. */
  readonly labels: (hash: string) => Readonly<Record<string, string>>;
}

export interface History {
  /** As it will be once `actions` are done. */
  readonly current: ControllerRevision;
  /** The others, oldest first. */
  readonly old: readonly ControllerRevision[];
  readonly actions: readonly Action[];
}

/** What a revision keeps of its owner: a patch that puts the template back, as `kubectl rollout undo` sends it. */
export function revisionData(template: PodTemplateSpec): { spec: { template: object } } {
  return { spec: { template: { ...template, $patch: 'replace' } } };
}

/**
 * The revision of the owner's template: an old one that was taken up again gets the highest number, a new template a
 * new revision. Names are made from the template, so that two looks at the same make the same.
 */
export function planHistory(snapshot: HistorySnapshot): History {
  const { resource, owner, template, revisions } = snapshot;
  const { owned, adopt, release } = claim(resource, owner, revisions, snapshot.matches);
  const claims = [...adopt, ...release].map((object): Action => ({ type: 'update', resource: controllerRevisions, object }));
  const all = [...owned, ...adopt].sort(byRevision);
  const data = revisionData(template);
  const current = all.findLast((revision) => equal(revision.data, data));
  const old = all.filter((revision) => revision !== current);
  const next = (old.at(-1)?.revision ?? 0) + 1;
  if (current === undefined) {
    const made = newRevision(snapshot, next);
    return { current: made, old, actions: [...claims, { type: 'create', resource: controllerRevisions, object: made }] };
  }
  if (current.revision >= next) return { current, old, actions: claims };
  const raised = { ...current, revision: next };
  return { current: raised, old, actions: [...claims.filter((action) => action.type !== 'update' || action.object !== current), { type: 'update', resource: controllerRevisions, object: raised }] };
}

/**
 * Carries `planHistory` out. A revision that cannot be made because its name is taken was made by the last look and not
 * seen yet, or is of another template: that one's name is avoided by counting the collision in the owner's status.
 */
export async function keepHistory(deps: ExecuteDeps, snapshot: HistorySnapshot, countCollision: (collisionCount: number) => Promise<unknown>): Promise<History> {
  const history = planHistory(snapshot);
  try {
    await execute(deps, history.actions);
  } catch (error) {
    if (!isStatus(error, 'AlreadyExists')) throw error;
    const { metadata, data } = history.current;
    const name = metadata?.name ?? '';
    const other = await deps.client.get(controllerRevisions, metadata?.namespace, name);
    if (!isControlledBy(other, snapshot.owner.metadata?.uid) || !equal(other.data, data)) {
      await countCollision((snapshot.collisionCount ?? 0) + 1);
      throw new Error(`another revision has the name ${name}`);
    }
  }
  return history;
}

function newRevision({ resource, owner, template, collisionCount, labels }: HistorySnapshot, revision: number): ControllerRevision {
  const hash = templateHash(template, collisionCount);
  return {
    apiVersion: apiVersionOf(controllerRevisions), kind: controllerRevisions.kind,
    metadata: {
      name: `${(owner.metadata?.name ?? '').slice(0, 223)}-${hash}`, namespace: owner.metadata?.namespace,
      labels: { ...template.metadata?.labels, ...labels(hash) },
      ...(owner.metadata?.annotations && { annotations: owner.metadata.annotations }),
      ownerReferences: [controllerReference(resource, owner)],
    },
    data: revisionData(template), revision,
  };
}

/** Old revisions beyond `limit` that nothing is made from any more, oldest first. */
export function surplusRevisions(old: readonly ControllerRevision[], limit: number, isLive: (revision: ControllerRevision) => boolean): Action[] {
  const surplus = old.length - limit;
  return surplus <= 0 ? [] : old.filter((revision) => !isLive(revision)).slice(0, surplus).map((object): Action => ({ type: 'delete', resource: controllerRevisions, object }));
}

function byRevision(a: ControllerRevision, b: ControllerRevision): number {
  if (a.revision !== b.revision) return a.revision - b.revision;
  return (a.metadata?.creationTimestamp ?? '') < (b.metadata?.creationTimestamp ?? '') ? -1 : 1;
}
