import type { Job } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { isConditionTrue } from '../../meta/conditions.ts';
import { age } from '../../meta/table.ts';
import { templateColumns } from '../../pod-spec/columns.ts';
import type { TableColumn } from '../types.ts';

function status({ metadata, status: current }: Job): string {
  const is = (type: string): boolean => isConditionTrue(current?.conditions, type);
  if (is('Complete')) return 'Complete';
  if (is('Failed')) return 'Failed';
  if (metadata?.deletionTimestamp !== undefined) return 'Terminating';
  return ['Suspended', 'FailureTarget', 'SuccessCriteriaMet'].find(is) ?? 'Running';
}

function completions({ spec, status: current }: Job): string {
  const succeeded = current?.succeeded ?? 0;
  if (spec?.completions !== undefined) return `${succeeded}/${spec.completions}`;
  const parallelism = spec?.parallelism ?? 0;
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`;
}

function duration({ status: current }: Job, nowMs: number): string {
  const start = Date.parse(current?.startTime ?? '');
  const end = current?.completionTime === undefined ? nowMs : Date.parse(current.completionTime);
  return Number.isNaN(start) || Number.isNaN(end) ? '' : age(end - start);
}

export const jobColumns: readonly TableColumn<Job>[] = [
  nameColumn(),
  column('Status', 'Whether it runs, has ended and how, or waits', status),
  column('Completions', 'How many pods have succeeded of those that must', completions),
  column('Duration', 'How long it ran, or has been running', duration),
  ageColumn(),
  ...templateColumns<Job>(),
];
