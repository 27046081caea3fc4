import type { Container, Pod } from '#api/gen/types.ts';
import type { ContainerConfig } from '#agent/runtimes/types.ts';
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
    security: security(pod, container),
  };
}

function security(pod: Pod, container: Container): ContainerConfig['security'] {
  const own = container.securityContext;
  const shared = pod.spec?.securityContext;
  const runAsUser = own?.runAsUser ?? shared?.runAsUser;
  const runAsGroup = own?.runAsGroup ?? shared?.runAsGroup;
  const privileged = own?.privileged ?? false;
  if ((own?.runAsNonRoot ?? shared?.runAsNonRoot) && runAsUser === 0) {
    throw new StatusError('Invalid', "container's runAsUser breaks non-root policy");
  }
  if (runAsGroup !== undefined && runAsUser === undefined) {
    throw new StatusError('Invalid', 'runAsGroup is set without runAsUser, which the runtime cannot do');
  }
  return {
    ...(runAsUser !== undefined && { runAsUser }),
    ...(runAsGroup !== undefined && { runAsGroup }),
    supplementalGroups: [...(shared?.supplementalGroups ?? []), ...(shared?.fsGroup === undefined ? [] : [shared.fsGroup])],
    privileged,
    readOnlyRoot: own?.readOnlyRootFilesystem ?? false,
    noNewPrivileges: own?.allowPrivilegeEscalation === false && !privileged,
    addCapabilities: own?.capabilities?.add ?? [],
    dropCapabilities: own?.capabilities?.drop ?? [],
  };
}
