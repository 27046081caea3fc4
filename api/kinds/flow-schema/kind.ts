import type { FlowSchema, FlowSubject, PolicyRulesWithSubjects } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { forbidden, invalid, required, type FieldError } from '../../meta/field-error.ts';
import { dns1123Label, dns1123Subdomain } from '../../meta/names.ts';
import { requiredNamed, requiredText, supported } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { flowSchemas } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

const subjects = { Group: 'group', ServiceAccount: 'serviceAccount', User: 'user' } as const;

function validateSubject(subject: FlowSubject, field: string): FieldError[] {
  const errors = supported(`${field}.kind`, subject.kind, Object.keys(subjects));
  for (const [kind, name] of Object.entries(subjects)) {
    if (subject.kind === kind && subject[name] === undefined) errors.push(required(`${field}.${name}`, `${name} is required when subject kind is '${kind}'`));
    if (subject.kind !== kind && subject[name] !== undefined) errors.push(forbidden(`${field}.${name}`, `${name} is forbidden when subject kind is not '${kind}'`));
  }
  const { user, group, serviceAccount } = subject;
  return [
    ...errors, ...(user ? requiredText(`${field}.user.name`, user.name) : []), ...(group ? requiredText(`${field}.group.name`, group.name) : []),
    ...(serviceAccount ? [...requiredText(`${field}.serviceAccount.name`, serviceAccount.name), ...(serviceAccount.namespace === '*' ? [] : requiredNamed(`${field}.serviceAccount.namespace`, serviceAccount.namespace, dns1123Label))] : []),
  ];
}

function validateRule({ subjects: given, resourceRules = [], nonResourceRules = [] }: PolicyRulesWithSubjects, field: string): FieldError[] {
  const who = given ?? [];
  const list = (values: readonly string[] | undefined, path: string): FieldError[] => {
    if (!values || values.length === 0) return [required(path)];
    return values.length > 1 && values.includes('*') ? [invalid(path, values, `if '*' is present, must not specify other ${path.slice(path.lastIndexOf('.') + 1)}`)] : [];
  };
  return [
    ...(who.length === 0 ? [required(`${field}.subjects`, 'subjects must contain at least one value')] : []),
    ...who.flatMap((subject, i) => validateSubject(subject, `${field}.subjects[${i}]`)),
    ...(resourceRules.length + nonResourceRules.length === 0 ? [required(field, 'at least one of resourceRules and nonResourceRules has to be non-empty')] : []),
    ...resourceRules.flatMap(({ verbs, apiGroups, resources, namespaces = [], clusterScope }, i) => {
      const path = `${field}.resourceRules[${i}]`;
      const nowhere = namespaces.length === 0 && !clusterScope ? [required(`${path}.namespaces`, 'resource rules that are not cluster scoped must supply at least one namespace')] : [];
      return [...list(verbs, `${path}.verbs`), ...list(apiGroups, `${path}.apiGroups`), ...list(resources, `${path}.resources`), ...nowhere];
    }),
    ...nonResourceRules.flatMap(({ verbs, nonResourceURLs }, i) => [...list(verbs, `${field}.nonResourceRules[${i}].verbs`), ...list(nonResourceURLs, `${field}.nonResourceRules[${i}].nonResourceURLs`)]),
  ];
}

function validate({ spec }: FlowSchema): FieldError[] {
  const precedence = spec?.matchingPrecedence ?? 0;
  return [
    ...(precedence < 1 || precedence > 10_000 ? [invalid('spec.matchingPrecedence', precedence, 'must be a value between 1 and 10000, inclusive')] : []),
    ...requiredNamed('spec.priorityLevelConfiguration.name', spec?.priorityLevelConfiguration?.name, dns1123Subdomain),
    ...(spec?.distinguisherMethod === undefined ? [] : supported('spec.distinguisherMethod.type', spec.distinguisherMethod.type, ['ByNamespace', 'ByUser'])),
    ...(spec?.rules ?? []).flatMap((rule, i) => validateRule(rule, `spec.rules[${i}]`)),
  ];
}

export const flowSchema: KindDefinition<FlowSchema> = {
  resource: flowSchemas,
  singular: 'flowschema',
  shortNames: [],
  categories: [],
  schema: () => schemaNamed('FlowSchema'),
  storage: 'durable',
  status: true,
  nameRule: 'dns-subdomain',
  setDefaults: ({ spec }) => { if (spec) spec.matchingPrecedence ??= 1000; },
  prepareForCreate: (object) => { object.status = {}; },
  validate,
  selectableFields: {},
  columns: [
    nameColumn(),
    column('PriorityLevel', 'How its requests are treated', ({ spec }) => spec?.priorityLevelConfiguration?.name ?? ''),
    column('MatchingPrecedence', 'Lower is asked first', ({ spec }) => spec?.matchingPrecedence ?? 0),
    column('DistinguisherMethod', 'How its requests are told apart', ({ spec }) => spec?.distinguisherMethod?.type ?? '<none>'),
    ageColumn(),
    column('MissingPL', 'Whether that priority level is missing', ({ status }) => (status?.conditions ?? []).find(({ type }) => type === 'Dangling')?.status ?? '?'),
  ],
};
