import type { JobSpec } from '../gen/types.ts';
import { setTemplateDefaults } from '../pod-spec/defaults.ts';

/** What a Job and a CronJob's template of one both get. Changes `spec` in place. Idempotent. */
export function setJobTemplateDefaults(spec: JobSpec): void {
  setTemplateDefaults(spec.template);
  for (const rule of spec.podFailurePolicy?.rules ?? []) for (const pattern of rule.onPodConditions ?? []) pattern.status ||= 'True';
}
