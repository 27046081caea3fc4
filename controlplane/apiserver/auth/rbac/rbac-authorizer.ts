import type { ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject } from '#api/gen/types.ts';
import { clusterRoleBindings, clusterRoles, qualifiedName, roleBindings, roles } from '#api/kinds/resources.ts';
import { StatusError } from '#common/errors.ts';
import type { Informer, Lister } from '#controlplane/cache/types.ts';
import type { User } from '../../types.ts';
import type { Attributes, Decision, Informers, RuleAuthorizer, RulesOfUser } from '../types.ts';
import { ruleAllows, subjectApplies } from './rules.ts';

interface Binding { readonly roleRef: RoleRef; readonly subjects?: readonly Subject[] | undefined; readonly metadata?: { readonly name?: string | undefined; readonly namespace?: string | undefined } | undefined }

/** One rule that a user has, and by what. */
interface Grant { readonly rule: PolicyRule; readonly binding: Binding; readonly subject: Subject }

/** Roles and bindings as they are now; its rules may change with every write. */
export class RbacAuthorizer implements RuleAuthorizer {
  readonly #roles: Lister<Role>;
  readonly #clusterRoles: Lister<ClusterRole>;
  readonly #roleBindings: Lister<RoleBinding>;
  readonly #clusterRoleBindings: Lister<ClusterRoleBinding>;
  readonly #informers: readonly Pick<Informer<Role>, 'synced'>[];

  constructor(informers: Informers) {
    const all = [informers.informer(roles), informers.informer(clusterRoles), informers.informer(roleBindings, { subject: subjectKeys }), informers.informer(clusterRoleBindings, { subject: subjectKeys })] as const;
    [this.#roles, this.#clusterRoles, this.#roleBindings, this.#clusterRoleBindings] = all;
    this.#informers = all;
  }

  /** Resolves when every role and binding is known: before, it would refuse what is allowed. */
  async synced(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#informers.map((informer) => informer.synced(signal)));
  }

  authorize(attributes: Attributes): Decision {
    const problems: string[] = [];
    for (const { rule, binding, subject } of this.#grants(attributes.user, attributes.resource?.namespace, problems)) {
      if (ruleAllows(rule, attributes)) return { allowed: true, reason: `RBAC: allowed by ${describeBinding(binding, subject)}` };
    }
    return { allowed: false, reason: problems.length === 0 ? '' : `RBAC: ${aggregate(problems)}` };
  }

  rulesFor(user: User, namespace: string | undefined): RulesOfUser {
    const problems: string[] = [];
    const rules = [...this.#grants(user, namespace, problems)].map(({ rule }) => rule);
    return { rules, problem: aggregate(problems) };
  }

  /** The rules of the role that a binding in `namespace` refers to. Throws NotFound. */
  rulesOf(ref: RoleRef, namespace: string | undefined): readonly PolicyRule[] {
    const role = ref.kind === 'Role' ? this.#roles.get(namespace, ref.name) : this.#clusterRoles.get(undefined, ref.name);
    if (role) return role.rules ?? [];
    throw new StatusError('NotFound', `${qualifiedName({ ...roles, plural: ref.kind.toLowerCase() })} ${JSON.stringify(ref.name)} not found`, {
      details: { name: ref.name, group: roles.group, kind: ref.kind.toLowerCase() },
    });
  }

  /** What cannot be resolved is told in `problems` and grants nothing. */
  * #grants(user: User, namespace: string | undefined, problems: string[]): Generator<Grant> {
    for (const binding of this.#bindings(user, namespace)) {
      const home = binding.metadata?.namespace;
      const subject = binding.subjects?.find((one) => subjectApplies(one, user, home ?? ''));
      if (!subject) continue;
      try {
        for (const rule of this.rulesOf(binding.roleRef, home)) yield { rule, binding, subject };
      } catch (error) {
        if (!(error instanceof StatusError)) throw error;
        problems.push(error.message);
      }
    }
  }

  /** Those that name the user or a group of theirs, each once: found by index, for a cluster may have thousands. */
  #bindings(user: User, namespace: string | undefined): Set<Binding> {
    const found = new Set<Binding>();
    for (const key of userKeys(user)) {
      for (const binding of this.#clusterRoleBindings.by('subject', key)) found.add(binding);
      if (namespace) for (const binding of this.#roleBindings.by('subject', `${namespace} ${key}`)) found.add(binding);
    }
    return found;
  }
}

/** `Group/dev`, `ServiceAccount/ci/builder`; with the namespace before it for a binding that is in one. */
function subjectKeys({ metadata, subjects }: Binding): string[] {
  const home = metadata?.namespace;
  const keys = (subjects ?? []).map(({ kind, name, namespace }) => (kind === 'ServiceAccount' ? `${kind}/${namespace || (home ?? '')}/${name}` : `${kind}/${name}`));
  return [...new Set(home ? keys.map((key) => `${home} ${key}`) : keys)];
}

function userKeys({ name, groups }: User): string[] {
  const [, namespace, account] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(name) ?? [];
  return [...(namespace === undefined || account === undefined ? [] : [`ServiceAccount/${namespace}/${account}`]), `User/${name}`, ...groups.map((group) => `Group/${group}`)];
}

function describeBinding({ metadata, roleRef }: Binding, subject: Subject): string {
  const namespace = metadata?.namespace;
  const home = subject.namespace || namespace;
  const who = subject.kind === 'ServiceAccount' && home ? `${subject.name}/${home}` : subject.name;
  const binding = namespace ? `RoleBinding ${JSON.stringify(`${metadata.name ?? ''}/${namespace}`)}` : `ClusterRoleBinding ${JSON.stringify(metadata?.name ?? '')}`;
  return `${binding} of ${roleRef.kind} ${JSON.stringify(roleRef.name)} to ${subject.kind} ${JSON.stringify(who)}`;
}

function aggregate(problems: readonly string[]): string {
  const all = [...new Set(problems)];
  return all.length > 1 ? `[${all.join(', ')}]` : all[0] ?? '';
}
