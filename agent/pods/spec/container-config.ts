import type { Container, Pod } from '#api/gen/types.ts';
import type { ContainerConfig, ImageUser } from '#agent/runtimes/types.ts';
import { StatusError } from '#common/errors.ts';
import { logFileOf } from '../paths.ts';
import { graceSecondsOf, specHash } from './containers.ts';
import { expand } from './expansion.ts';
import { cgroupResources } from './resources.ts';

export interface ContainerFacts {
  readonly attempt: number;
  readonly env: ContainerConfig['env'];
  readonly mounts: ContainerConfig['mounts'];
  readonly nodeMemoryBytes: number;
  /** Whom the image runs as; given when `needsImageUser`. */
  readonly imageUser: ImageUser | undefined;
}

/** True when what the image says of its user decides: nobody else names one, and it matters. */
export function needsImageUser(pod: Pod, container: Container): boolean {
  const { runAsUser, runAsGroup, runAsNonRoot } = { ...pod.spec?.securityContext, ...container.securityContext };
  return runAsUser === undefined && (runAsNonRoot === true || runAsGroup !== undefined);
}

export function containerConfig(pod: Pod, container: Container, facts: ContainerFacts): ContainerConfig {
  const values = new Map(facts.env.map(({ name, value }) => [name, value]));
  const expanded = (words: readonly string[] | undefined): string[] => (words ?? []).map((word) => expand(word, (name) => values.get(name)));
  return {
    name: container.name,
    attempt: facts.attempt,
    image: container.image ?? '',
    command: expanded(container.command),
    args: expanded(container.args),
    workingDir: container.workingDir ?? '',
    env: facts.env,
    mounts: facts.mounts,
    specHash: specHash(container),
    graceSeconds: graceSecondsOf(pod),
    logFile: logFileOf(container.name, facts.attempt),
    stdin: container.stdin ?? false,
    stdinOnce: container.stdinOnce ?? false,
    tty: container.tty ?? false,
    resources: cgroupResources(pod, container, facts.nodeMemoryBytes),
    security: security(pod, container, facts.imageUser),
  };
}

function security(pod: Pod, container: Container, imageUser: ImageUser | undefined): ContainerConfig['security'] {
  const own = container.securityContext;
  const shared = pod.spec?.securityContext;
  const runAsUser = own?.runAsUser ?? shared?.runAsUser ?? imageUser?.uid;
  const runAsUserName = runAsUser === undefined ? imageUser?.name : undefined;
  const runAsGroup = own?.runAsGroup ?? shared?.runAsGroup;
  const privileged = own?.privileged ?? false;
  const where = `(pod: "${pod.metadata?.name ?? ''}_${pod.metadata?.namespace ?? ''}(${pod.metadata?.uid ?? ''})", container: ${container.name})`;
  if (own?.runAsNonRoot ?? shared?.runAsNonRoot) {
    if (runAsUserName !== undefined) throw new StatusError('Invalid', `container has runAsNonRoot and image has non-numeric user (${runAsUserName}), cannot verify user is non-root ${where}`);
    if (runAsUser === 0) throw new StatusError('Invalid', imageUser ? `container has runAsNonRoot and image will run as root ${where}` : `container's runAsUser breaks non-root policy ${where}`);
  }
  return {
    ...(runAsUser !== undefined && { runAsUser }),
    ...(runAsUserName !== undefined && { runAsUserName }),
    ...(runAsGroup !== undefined && { runAsGroup }),
    supplementalGroups: [...(shared?.supplementalGroups ?? []), ...(shared?.fsGroup === undefined ? [] : [shared.fsGroup])],
    privileged,
    readOnlyRoot: own?.readOnlyRootFilesystem ?? false,
    noNewPrivileges: own?.allowPrivilegeEscalation === false && !privileged,
    addCapabilities: own?.capabilities?.add ?? [],
    dropCapabilities: own?.capabilities?.drop ?? [],
  };
}
