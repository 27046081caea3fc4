import type { ClusterRole, PolicyRule, Role, RoleBinding } from '#api/gen/types.ts';
import { roles, type Resource } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import type { KubeObject } from '#api/meta/object.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../../admission/types.ts';
import { forbidden } from '../../api-errors.ts';
import type { Attributes, Authorizer } from '../types.ts';
import type { RbacAuthorizer } from './rbac-authorizer.ts';
import { describeRights, missingRights, quoted } from './rules.ts';

const everything: readonly PolicyRule[] = [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }, { verbs: ['*'], nonResourceURLs: ['*'] }];

/**
 * Nobody grants what they do not hold: a role may be written by those who hold all of its rights or may `escalate`,
 * a binding by those who hold the rights of its role or may `bind` it.
 */
export function escalationCheck(rbac: RbacAuthorizer, authorizer: Authorizer): AdmissionPlugin {
  return {
    name: 'RBACEscalation',
    async admit(request) {
      const { operation, kind: { resource }, user } = request;
      if (resource.group !== roles.group || operation === 'delete' || user.groups.includes('system:masters') || onlyForGarbageCollection(request)) return;
      const check = new EscalationCheck(rbac, authorizer, request);
      if (resource.plural.endsWith('bindings')) await check.binding();
      else await check.role();
    },
  };
}

class EscalationCheck {
  readonly #rbac: RbacAuthorizer;
  readonly #authorizer: Authorizer;
  readonly #request: AdmissionRequest;

  constructor(rbac: RbacAuthorizer, authorizer: Authorizer, request: AdmissionRequest) {
    this.#rbac = rbac;
    this.#authorizer = authorizer;
    this.#request = request;
  }

  async role(): Promise<void> {
    const { kind: { resource }, namespace, name, object, old } = this.#request;
    const role = object as Role & Pick<ClusterRole, 'aggregationRule'>;
    if (await this.#may('escalate', resource, namespace, name)) return;
    this.#refuseBeyond(role.rules ?? []);
    const aggregates = role.aggregationRule !== undefined || (old as ClusterRole | undefined)?.aggregationRule !== undefined;
    if (aggregates && this.#missing(everything).length > 0) throw forbidden(resource, name, 'must have cluster-admin privileges to use an aggregationRule');
  }

  async binding(): Promise<void> {
    const { namespace, object } = this.#request;
    const { roleRef } = object as RoleBinding;
    // What names no role is refused by validation.
    if (roleRef === undefined || typeof roleRef.name !== 'string') return;
    const bound = { ...roles, plural: roleRef.kind === 'Role' ? 'roles' : 'clusterroles' };
    if (!(await this.#may('bind', bound, namespace, roleRef.name))) this.#refuseBeyond(this.#rbac.rulesOf(roleRef, namespace));
  }

  async #may(verb: string, { group, version, plural }: Pick<Resource, 'group' | 'version' | 'plural'>, namespace: string | undefined, name: string): Promise<boolean> {
    const attributes: Attributes = { user: this.#request.user, verb, resource: { group, version, plural, subresource: undefined, namespace, name } };
    return (await this.#authorizer.authorize(attributes)).allowed;
  }

  #missing(rules: readonly PolicyRule[]): PolicyRule[] {
    const { user, namespace } = this.#request;
    return missingRights(this.#rbac.rulesFor(user, namespace).rules, rules);
  }

  #refuseBeyond(rules: readonly PolicyRule[]): void {
    const { kind, name, user, namespace } = this.#request;
    const missing = this.#missing(rules);
    if (missing.length === 0) return;
    const { problem } = this.#rbac.rulesFor(user, namespace);
    const unresolved = problem === '' ? '' : `; resolution errors: ${problem}`;
    throw forbidden(kind.resource, name, `user ${JSON.stringify(user.name)} (groups=${quoted(user.groups)}) is attempting to grant RBAC permissions not currently held:\n${describeRights(missing).join('\n')}${unresolved}`);
  }
}

/** The garbage collector takes owners and finalizers off objects whose rights it need not hold. */
function onlyForGarbageCollection({ operation, object, old }: AdmissionRequest): boolean {
  return operation === 'update' && object !== undefined && old !== undefined && equal(withoutOwners(object), withoutOwners(old));
}

function withoutOwners(object: KubeObject): KubeObject {
  const { ownerReferences: _owners, finalizers: _finalizers, managedFields: _fields, resourceVersion: _version, ...metadata } = object.metadata ?? {};
  return { ...object, metadata };
}
