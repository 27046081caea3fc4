import type { ContainerStatus, Pod, PodFailurePolicy, PodFailurePolicyRule } from '#api/gen/types.ts';

export interface Judgement {
  readonly action?: string;
  /** Whether the failure counts against the Job's limits. */
  readonly counts: boolean;
  /** Why the Job fails, for FailJob. */
  readonly message?: string;
}

/** The first rule of a Job's podFailurePolicy that a failed pod matches decides. Source: pod_failure_policy.go. */
export function judgeFailure(policy: PodFailurePolicy | undefined, pod: Pod): Judgement {
  for (const [i, rule] of (policy?.rules ?? []).entries()) {
    const why = match(rule, pod);
    if (why === undefined) continue;
    const { action } = rule;
    return { action, counts: action !== 'Ignore', ...(action === 'FailJob' && { message: `${why} matching FailJob rule at index ${String(i)}` }) };
  }
  return { counts: true };
}

function match({ onExitCodes, onPodConditions }: PodFailurePolicyRule, pod: Pod): string | undefined {
  const name = `${pod.metadata?.namespace ?? ''}/${pod.metadata?.name ?? ''}`;
  if (onExitCodes !== undefined) {
    const { containerName, operator, values } = onExitCodes;
    const container = [...pod.status?.containerStatuses ?? [], ...pod.status?.initContainerStatuses ?? []].find((one) => {
      const code = exitCode(one);
      return (containerName === undefined || containerName === one.name) && code !== undefined && code !== 0 && values.includes(code) === (operator === 'In');
    });
    return container && `Container ${container.name} for pod ${name} failed with exit code ${String(exitCode(container))}`;
  }
  const found = pod.status?.conditions?.find(({ type, status }) => onPodConditions?.some((pattern) => pattern.type === type && (pattern.status ?? 'True') === status));
  return found && `Pod ${name} has condition ${found.type}`;
}

function exitCode({ state }: ContainerStatus): number | undefined {
  return state?.terminated?.exitCode;
}
