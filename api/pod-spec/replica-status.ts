import { invalid, type FieldError } from '../meta/field-error.ts';
import { notNegative } from '../meta/rules.ts';

type Counts = Readonly<Partial<Record<string, unknown>>>;

/**
 * How many pods a workload reports: none of `counts` is negative, none of `parts` is more than there are replicas, and no
 * more are available than ready. `ready` is what the message calls the latter.
 */
export function validateReplicaCounts(status: object | undefined, counts: readonly string[], parts: readonly string[], ready = 'readyReplicas'): FieldError[] {
  const of = (name: string): number | undefined => {
    const value = (status as Counts | undefined)?.[name];
    return typeof value === 'number' ? value : undefined;
  };
  const errors = counts.flatMap((name) => notNegative(`status.${name}`, of(name)));
  const replicas = of('replicas') ?? 0;
  for (const name of parts) if ((of(name) ?? 0) > replicas) errors.push(invalid(`status.${name}`, of(name), 'cannot be greater than status.replicas'));
  if ((of('availableReplicas') ?? 0) > (of('readyReplicas') ?? 0)) errors.push(invalid('status.availableReplicas', of('availableReplicas'), `cannot be greater than ${ready}`));
  return errors;
}
