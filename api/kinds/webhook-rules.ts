import type { MutatingWebhook, ValidatingWebhook } from '../gen/types.ts';
import { duplicate, invalid, required, type FieldError } from '../meta/field-error.ts';
import { equal } from '../meta/equal.ts';
import { dns1035Label, fullyQualifiedName } from '../meta/names.ts';
import { requiredNamed, supported, supportedIfSet } from '../meta/rules.ts';
import { conditionErrors, loadChecks } from './expression-checks.ts';
import { setRuleDefaults, validateClientConfig, validateConditions, validateRule, validateSelector } from './admission-rules.ts';

/** Versions of AdmissionReview that there are; v1 is the one that is sent. */
const reviewVersions = ['v1', 'v1beta1'];

export function setWebhookDefaults(webhooks: readonly (MutatingWebhook | ValidatingWebhook)[] | undefined): void {
  for (const webhook of webhooks ?? []) {
    webhook.failurePolicy ??= 'Fail';
    webhook.matchPolicy ??= 'Equivalent';
    webhook.namespaceSelector ??= {};
    webhook.objectSelector ??= {};
    webhook.timeoutSeconds ??= 10;
    if (webhook.clientConfig?.service) webhook.clientConfig.service.port ??= 443;
    setRuleDefaults(webhook.rules);
  }
}

function validateVersions(versions: readonly string[], field: string): FieldError[] {
  if (versions.length === 0) return [required(field, `must specify one of ${reviewVersions.join(', ')}`)];
  const errors = versions.flatMap((version, i) => {
    const problem = dns1035Label(version);
    return [...(problem === undefined ? [] : [invalid(`${field}[${i}]`, version, problem)]), ...(versions.indexOf(version) < i ? [invalid(`${field}[${i}]`, version, 'duplicate version')] : [])];
  });
  if (!versions.some((version) => reviewVersions.includes(version))) errors.push(invalid(field, versions, `must include at least one of ${reviewVersions.join(', ')}`));
  return errors;
}

/** Loads what their conditions are checked with, if there are any. */
export function prepareWebhooks(webhooks: readonly (MutatingWebhook | ValidatingWebhook)[] | undefined): Promise<void> | undefined {
  return loadChecks((webhooks ?? []).some(({ matchConditions }) => (matchConditions ?? []).length > 0));
}

/** The rules of both kinds of webhook. */
export function validateWebhooks(webhooks: readonly (MutatingWebhook | ValidatingWebhook)[], old: readonly (MutatingWebhook | ValidatingWebhook)[] = []): FieldError[] {
  const names = webhooks.map(({ name }) => name);
  return webhooks.flatMap((webhook, i) => {
    const field = `webhooks[${i}]`;
    const { timeoutSeconds } = webhook;
    return [
      ...requiredNamed(`${field}.name`, webhook.name, fullyQualifiedName),
      ...(names.indexOf(webhook.name) < i ? [duplicate(`${field}.name`, webhook.name)] : []),
      ...validateVersions(webhook.admissionReviewVersions ?? [], `${field}.admissionReviewVersions`),
      ...(webhook.rules ?? []).flatMap((rule, r) => validateRule(rule, `${field}.rules[${r}]`)),
      ...supportedIfSet(`${field}.failurePolicy`, webhook.failurePolicy, ['Fail', 'Ignore']),
      ...supportedIfSet(`${field}.matchPolicy`, webhook.matchPolicy, ['Equivalent', 'Exact']),
      ...supported(`${field}.sideEffects`, webhook.sideEffects, ['None', 'NoneOnDryRun']),
      ...('reinvocationPolicy' in webhook ? supportedIfSet(`${field}.reinvocationPolicy`, webhook.reinvocationPolicy, ['IfNeeded', 'Never']) : []),
      ...(timeoutSeconds !== undefined && (timeoutSeconds < 1 || timeoutSeconds > 30) ? [invalid(`${field}.timeoutSeconds`, timeoutSeconds, 'the timeout value must be between 1 and 30 seconds')] : []),
      ...validateSelector(webhook.namespaceSelector, `${field}.namespaceSelector`), ...validateSelector(webhook.objectSelector, `${field}.objectSelector`),
      ...validateClientConfig(webhook.clientConfig ?? {}, `${field}.clientConfig`),
      ...validateConditions(webhook.matchConditions ?? [], `${field}.matchConditions`),
      ...(equal(webhook.matchConditions, old.find(({ name }) => name === webhook.name)?.matchConditions) ? [] : conditionErrors(webhook.matchConditions ?? [], `${field}.matchConditions`)),
    ];
  });
}
