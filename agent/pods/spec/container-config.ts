import type { Container, Pod } from '#api/gen/types.ts';
import type { ContainerConfig, LogRotation } from '#agent/runtimes/types.ts';
import { StatusError } from '#common/errors.ts';
import { logFileOf } from '../paths.ts';
import { graceSecondsOf, specHash } from './containers.ts';
import { expand } from './expansion.ts';
import { cgroupResources } from './resources.ts';
import { securityOf, type SecurityFacts } from './security.ts';
import { unsupported, type RuntimeAbilities } from './unsupported.ts';

export interface ContainerFacts extends SecurityFacts {
  readonly attempt: number;
  readonly env: ContainerConfig['env'];
  readonly mounts: ContainerConfig['mounts'];
  readonly nodeMemoryBytes: number;
  /** Names of resources: the huge pages that this node has. */
  readonly nodeHugePages?: readonly string[];
  readonly abilities: RuntimeAbilities;
  readonly logRotation?: LogRotation;
  /** Of an ephemeral container: the container whose processes it sees. */
  readonly targetContainerId?: string | undefined;
}

/** What the runtime is to make. Rejects with `Invalid` what this node cannot give. */
export function containerConfig(pod: Pod, container: Container, facts: ContainerFacts): ContainerConfig {
  const missing = unsupported(pod, container, facts.abilities);
  if (missing !== undefined) throw new StatusError('Invalid', missing);
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
    ...(container.lifecycle?.stopSignal !== undefined && { stopSignal: container.lifecycle.stopSignal }),
    logFile: logFileOf(container.name, facts.attempt),
    ...(facts.logRotation && { logRotation: facts.logRotation }),
    stdin: container.stdin ?? false,
    stdinOnce: container.stdinOnce ?? false,
    tty: container.tty ?? false,
    resources: cgroupResources(pod, container, facts.nodeMemoryBytes, facts.nodeHugePages),
    ...(facts.targetContainerId !== undefined && { targetContainerId: facts.targetContainerId }),
    security: securityOf(pod, container, facts),
  };
}
