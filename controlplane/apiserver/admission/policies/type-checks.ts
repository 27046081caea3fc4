import type { ExpressionWarning, ValidatingAdmissionPolicy } from '#api/gen/types.ts';
import { apiVersionOf } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import { TypedExpressions } from '#api/admission/typed.ts';
import { StatusError } from '#common/errors.ts';
import type { KindIndex } from '../../kind-index.ts';

/** Types of a policy that are looked at. */
const maxKinds = 10;

/** Kinds that a policy names without wildcards. */
function kindsOf({ spec }: ValidatingAdmissionPolicy, kinds: KindIndex): KindDefinition[] {
  const found = new Set<KindDefinition>();
  for (const { apiGroups = [], apiVersions = [], resources = [] } of spec?.matchConstraints?.resourceRules ?? []) {
    for (const group of apiGroups) for (const version of apiVersions) for (const plural of resources) {
      const kind = kinds.find(group, version, plural);
      if (kind) found.add(kind);
    }
  }
  return [...found].slice(0, maxKinds);
}

/** What is wrong with a policy's expressions where its objects are of the types that it names. They work all the same, or fail when it comes to it. */
export function typeWarnings(policy: ValidatingAdmissionPolicy, kinds: KindIndex): ExpressionWarning[] {
  const { validations = [], variables = [], paramKind } = policy.spec ?? {};
  const param = paramKind && kinds.all.find(({ resource }) => resource.kind === paramKind.kind && apiVersionOf(resource) === paramKind.apiVersion);
  const checks = kindsOf(policy, kinds).map((kind) => ({ name: `${kind.resource.group}/${kind.resource.version}, Kind=${kind.resource.kind}`, types: new TypedExpressions(kind.schema(), param?.schema(), variables) }));
  return validations.flatMap(({ expression, messageExpression }, i) => [['expression', expression], ['messageExpression', messageExpression]].flatMap(([field = '', text]) => {
    const problems = text ? checks.flatMap(({ name, types }) => problemOf(name, types, text)) : [];
    return problems.length === 0 ? [] : [{ fieldRef: `spec.validations[${String(i)}].${field}`, warning: problems.join('\n') }];
  }));
}

function problemOf(name: string, types: TypedExpressions, expression: string): string[] {
  try {
    types.check(expression);
    return [];
  } catch (error) {
    if (error instanceof StatusError) return [`${name}: ${error.message}`];
    throw error;
  }
}
