import type { Container, Job, Pod } from '#api/gen/types.ts';
import { jobs } from '#api/kinds/resources.ts';
import { podFromTemplate } from '../pod-from-template.ts';
import { judgeFailure } from './failure-policy.ts';
import { indexKey, trackingFinalizer } from './snapshot.ts';

const failureCountKey = 'batch.kubernetes.io/job-index-failure-count';
const ignoredCountKey = 'batch.kubernetes.io/job-index-ignored-failure-count';

/** A pod of the Job; `index` in an Indexed one, and `failed` the pod that it takes the place of, whose failures it carries on. */
export function jobPod(job: Job, index: number | undefined, failed: Pod | undefined): Pod {
  const pod = podFromTemplate(jobs, job, job.spec?.template);
  const metadata = { ...pod.metadata, finalizers: [...new Set([...pod.metadata?.finalizers ?? [], trackingFinalizer])] };
  if (index === undefined || pod.spec === undefined) return { ...pod, metadata };
  const text = String(index);
  const withIndex = (containers: readonly Container[]): Container[] => containers.map((container) => (container.env?.some(({ name }) => name === 'JOB_COMPLETION_INDEX') === true ? container
    : { ...container, env: [...container.env ?? [], { name: 'JOB_COMPLETION_INDEX', valueFrom: { fieldRef: { fieldPath: `metadata.labels['${indexKey}']` } } }] }));
  const { name = '' } = job.metadata ?? {};
  return {
    ...pod,
    metadata: { ...metadata, generateName: `${name}-${text}-`, labels: { ...metadata.labels, [indexKey]: text }, annotations: { ...metadata.annotations, [indexKey]: text, ...failureCounts(job, failed) } },
    spec: { ...pod.spec, hostname: `${name}-${text}`, containers: withIndex(pod.spec.containers), ...(pod.spec.initContainers && { initContainers: withIndex(pod.spec.initContainers) }) },
  };
}

function failureCounts(job: Job, failed: Pod | undefined): Record<string, string> {
  if (job.spec?.backoffLimitPerIndex === undefined) return {};
  const { counted, ignored } = failed === undefined ? { counted: 0, ignored: 0 } : failuresUpTo(job, failed);
  return { [failureCountKey]: String(counted), ...(ignored > 0 && { [ignoredCountKey]: String(ignored) }) };
}

/** Failures of an index before this pod. */
export function failuresBefore({ metadata }: Pod): { counted: number; ignored: number } {
  const number = (key: string): number => Number(/^\d{1,9}$/.exec(metadata?.annotations?.[key] ?? '')?.[0] ?? 0);
  return { counted: number(failureCountKey), ignored: number(ignoredCountKey) };
}

/** Failures of an index, this pod's included. */
export function failuresUpTo(job: Job, failed: Pod): { counted: number; ignored: number } {
  const { counted, ignored } = failuresBefore(failed);
  return judgeFailure(job.spec?.podFailurePolicy, failed).counts ? { counted: counted + 1, ignored } : { counted, ignored: ignored + 1 };
}
