import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Container as ContainerSpec, EphemeralContainer, Pod } from '#api/gen/types.ts';
import type { Clock } from '#common/clock.ts';
import { isStatus, messageOf, StatusError } from '#common/errors.ts';
import type { PodDevices } from '#agent/devices/types.ts';
import type { ImagePuller } from '#agent/images/puller.ts';
import { killProcesses, limitCgroup, removeCgroup } from '#agent/runtimes/cgroups.ts';
import type { Log } from '#common/log.ts';
import type { Container, RuntimeDriver, SandboxConfig } from '#agent/runtimes/types.ts';
import { actuate, resizeText } from './allocation/actuate.ts';
import { wholePod, type PodAllocation } from './allocation/allocation.ts';
import { ContainerImages } from './container-images.ts';
import { crashKey, nextBackoff } from './crash-backoff.ts';
import { linkLog, unlinkLog } from './logs/folder.ts';
import { rotated } from './logs/reader.ts';
import { defaultRotation } from './logs/rotate.ts';
import { ContainerLifecycle, type Signals } from './lifecycle.ts';
import type { Limit } from '#common/limit.ts';
import { configBackoff, type PodMemory } from './memory.ts';
import { attemptsOf, currentSandbox, isRunning } from './observed.ts';
import { logFileOf, type PodPaths } from './paths.ts';
import { abilitiesOf, fieldFacts, prepareContainer, prepareSandbox, runtimeHandler, writeHostsFile, type ContainerInputs } from './prepare.ts';
import type { Check, CheckTarget } from './probes/types.ts';
import type { PodRecorder } from './recorder.ts';
import { containerNamed, containersOf, initContainersOf, specHash } from './spec/containers.ts';
import type { ObjectLookup } from './spec/env.ts';
import type { FieldFacts } from './spec/fields.ts';
import { allPodsLimits, isHugePages, podCgroupLimits } from './spec/resources.ts';
import { podCgroup } from './spec/sandbox-config.ts';
import { needsImageUser } from './spec/security.ts';
import { resizeKey, sandboxKey, type Decision, type NodeFacts, type PodManagerConfig, type PodProtection, type PodView } from './types.ts';
import { userNamespaceProblem, type UserRanges } from './user-namespaces.ts';
import { ensureVolumes, releaseSubPaths, removePodFiles, removeVolumes } from './volumes/volumes.ts';

export interface ActionDeps {
  readonly driver: RuntimeDriver;
  readonly puller: ImagePuller;
  /** The control plane has not been heard of for a while, or never since the host was booted. */
  readonly isAlone: () => boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly lookup: ObjectLookup;
  readonly node: NodeFacts;
  readonly check: Check;
  readonly limit: Limit;
  /** What nobody waits for is done in turn, so that it keeps nobody waiting who does: a host of two cores is busy with the ends of ten pods. */
  readonly unhurried: Limit;
  readonly recorder: PodRecorder;
  readonly users: UserRanges;
  /** Absent where there are none, as in some tests. */
  readonly devices?: PodDevices;
  /** Absent where no policies are enforced, as in some tests. */
  readonly network?: PodProtection;
}

/** The sandbox of a pod that has ended goes soon enough when it goes by then. */
const unhurriedMs = 5000;
/** What cannot be removed for so long does not keep a pod from going. */
const cgroupTries = 5;

/** Does what `step` decided. Failures that are the pod's own are remembered with a back-off; others reject. */
export class PodActions {
  readonly #deps: ActionDeps;
  readonly #config: PodManagerConfig;
  readonly #memory: PodMemory;
  readonly #paths: PodPaths;

  readonly #allocation: PodAllocation;
  readonly #images: ContainerImages;
  readonly #lifecycle: ContainerLifecycle;

  constructor(deps: ActionDeps, config: PodManagerConfig, memory: PodMemory, paths: PodPaths, allocation: PodAllocation) {
    this.#deps = deps;
    this.#config = config;
    this.#memory = memory;
    this.#paths = paths;
    this.#allocation = allocation;
    this.#images = new ContainerImages(deps, memory, paths);
    this.#lifecycle = new ContainerLifecycle(deps, memory);
  }

  async perform(decision: Exclude<Decision, { type: 'wait' | 'done' }>, view: PodView, signals: Signals): Promise<void> {
    switch (decision.type) {
      case 'run-sandbox': return this.#runSandbox(view, decision.attempt, signals);
      case 'stop-sandbox': return this.#stopSandbox(view, decision, signals);
      case 'start': return this.#start(view, decision, signals);
      case 'resume': return this.#startCreated(view, { ...decision, attempt: view.containers.find(({ id }) => id === decision.id)?.attempt ?? 0 }, signals);
      case 'kill': return this.#lifecycle.kill(view, decision, signals);
      case 'resize': return this.#resize(view, signals.stop);
      case 'prune': return this.#prune(view.pod, decision, signals.stop);
      case 'remove': return this.#remove(view, signals.stop);
    }
  }

  /** Brings mirrored ConfigMaps, Secrets and fields up to date in running pods. */
  async refreshVolumes(pod: Pod, podIps: readonly string[], signal: AbortSignal): Promise<void> {
    await this.#ensureVolumes(pod, fieldFacts(this.#config, this.#deps.node, podIps), signal);
  }

  async #ensureVolumes(pod: Pod, facts: FieldFacts, signal: AbortSignal, begins = false): Promise<void> {
    const { clock, lookup } = this.#deps;
    const beganMs = clock.monotonic();
    const renewInMs = await ensureVolumes(pod, this.#paths, lookup, facts, clock.now(), begins, signal);
    this.#memory.renewMs = renewInMs === undefined ? undefined : beganMs + renewInMs;
  }

  target(view: PodView, spec: ContainerSpec, containerId: string): CheckTarget {
    return this.#lifecycle.target(view, spec, containerId);
  }

  async #runSandbox(view: PodView, attempt: number, { stop, interrupt }: Signals): Promise<void> {
    const { pod } = view;
    const { driver, limit, recorder, clock } = this.#deps;
    if (attempt > 0 && !this.#memory.failures.has(sandboxKey)) recorder.emit('Normal', 'SandboxChanged', 'Pod sandbox changed, it will be killed and re-created.');
    try {
      await this.#ensureVolumes(pod, fieldFacts(this.#config, this.#deps.node, []), interrupt, true);
    } catch (error) {
      interrupt.throwIfAborted();
      this.#memory.fail(sandboxKey, 'FailedMount', messageOf(error), clock.monotonic(), configBackoff);
      recorder.emit('Warning', 'FailedMount', messageOf(error));
      return;
    }
    try {
      const config = await this.#sandboxConfig(pod, attempt, (problem) => { recorder.emit('Warning', 'DNSConfigForming', problem); });
      if (attempt > 0) await this.#endOrphans(pod);
      await limit.run(() => driver.runSandbox(config, stop));
      this.#memory.failures.delete(sandboxKey);
    } catch (error) {
      if (stop.aborted || isStatus(error, 'ServiceUnavailable')) throw error;
      this.#memory.fail(sandboxKey, 'FailedCreatePodSandBox', messageOf(error), clock.monotonic(), configBackoff);
      recorder.emit('Warning', 'FailedCreatePodSandBox', `Failed to create pod sandbox: ${messageOf(error)}`);
    }
  }

  async #start(view: PodView, decision: Extract<Decision, { type: 'start' }>, signals: Signals): Promise<void> {
    const { pod } = view;
    const spec = containerNamed(pod, decision.name);
    if (!spec || !await this.#images.ensure(pod, spec, signals.interrupt)) return;
    const [previous] = attemptsOf(view, spec.name);
    let id: string;
    let isConfigured = false;
    try {
      // A device plugin may take minutes to answer: nobody else waits for that, nor the pod's end.
      const parts = await this.#deps.devices?.parts(pod, spec.name, signals.interrupt);
      id = await this.#deps.limit.run(() => this.#create(view, spec, decision, { ...signals, parts }, () => { isConfigured = true; }));
    } catch (error) {
      if (signals.interrupt.aborted || isStatus(error, 'ServiceUnavailable')) throw error;
      this.#failed(spec.name, isConfigured ? 'CreateContainerError' : 'CreateContainerConfigError', messageOf(error));
      return;
    }
    if (previous?.state === 'exited') {
      const key = crashKey(spec.name, specHash(spec));
      const nowMs = this.#deps.clock.monotonic();
      this.#memory.crashes.set(key, nextBackoff(this.#memory.crashes.get(key), this.#memory.ended.get(previous.id) ?? nowMs, nowMs));
    }
    this.#deps.recorder.emit('Normal', 'Created', `Created container: ${spec.name}`, spec.name);
    await this.#startCreated(view, { ...decision, id }, signals);
  }

  /** `configured` is called when all is known that the runtime is to be asked for. */
  async #create(view: PodView, spec: ContainerSpec, decision: Extract<Decision, { type: 'start' }>, { stop, interrupt, parts }: Signals & Pick<ContainerInputs, 'parts'>, configured: () => void): Promise<string> {
    const { pod } = view;
    const sandbox = currentSandbox(view);
    const podIps = pod.spec?.hostNetwork ? this.#deps.node.hostIps() : sandbox?.ips ?? [];
    const facts = fieldFacts(this.#config, this.#deps.node, podIps);
    if (this.#memory.preparedFor !== decision.sandboxId) {
      await this.#ensureVolumes(pod, facts, interrupt);
      await writeHostsFile(pod, podIps, this.#paths, this.#config);
      await this.#allocation.begin(pod);
      await this.#limit(pod);
      await this.#allocation.reached(wholePod);
      this.#memory.preparedFor = decision.sandboxId;
    }
    await this.#images.mount(pod, spec, interrupt);
    const imageUser = needsImageUser(pod, spec) ? await this.#deps.driver.imageUser(spec.image ?? '', stop) : undefined;
    const config = await prepareContainer({
      pod, container: spec, attempt: decision.attempt, paths: this.#paths, lookup: this.#deps.lookup, facts, imageUser,
      targetContainerId: targetOf(view, spec), seccompDir: join(this.#config.stateDir, 'seccomp'), logRotation: this.#config.logRotation ?? defaultRotation,
      abilities: abilitiesOf(pod, this.#deps.lookup, this.#deps.node), parts,
    });
    const sandboxConfig = await this.#sandboxConfig(pod, sandbox?.attempt ?? 0);
    configured();
    const id = await this.#deps.driver.createContainer(decision.sandboxId, sandboxConfig, config, stop);
    await this.#allocation.reached(spec.name);
    return id;
  }

  async #sandboxConfig(pod: Pod, attempt: number, tell?: (problem: string) => void): Promise<SandboxConfig> {
    const { lookup, node, driver, users } = this.#deps;
    const handler = runtimeHandler(pod, lookup, node);
    const problem = userNamespaceProblem(pod, handler, node, driver.name);
    if (problem !== undefined) throw new StatusError('Invalid', problem);
    const userNamespace = pod.spec?.hostUsers === false ? await users.of(this.#paths) : undefined;
    return { ...await prepareSandbox(pod, attempt, this.#paths, this.#config, tell), runtimeHandler: handler, ...(userNamespace && { userNamespace }) };
  }

  async #startCreated(view: PodView, { name, id, attempt }: Pick<Container, 'name' | 'id' | 'attempt'>, signals: Signals): Promise<void> {
    const { driver, limit, recorder } = this.#deps;
    try {
      await this.#deps.network?.protect(view.pod, currentSandbox(view)?.ips ?? [], signals.interrupt);
    } catch (error) {
      if (signals.stop.aborted) throw error;
      if (signals.interrupt.aborted) return;
      this.#failed(name, 'NetworkPolicyError', `not started, since nothing would hold it to its network policies: ${messageOf(error)}`);
      return;
    }
    // Before anything is logged; where a link cannot be made its readers have a fault, and not the pod.
    if (!driver.readLog) await linkLog(this.#paths, view.pod, { name, id, attempt }).catch((error: unknown) => { this.#deps.log.debug({ id, err: messageOf(error) }, 'no link to a log'); });
    try {
      await limit.run(() => driver.startContainer(id, signals.stop));
    } catch (error) {
      if (signals.stop.aborted || isStatus(error, 'ServiceUnavailable')) throw error;
      this.#failed(name, 'RunContainerError', messageOf(error));
      return;
    }
    this.#memory.failures.delete(name);
    recorder.emit('Normal', 'Started', `Started container ${name}`, name);
    const spec = containerNamed(view.pod, name);
    if (spec) await this.#lifecycle.started(view, spec, id, signals);
  }

  async #resize(view: PodView, stop: AbortSignal): Promise<void> {
    const { driver, recorder, clock, node } = this.#deps;
    try {
      await actuate({ driver, allocation: this.#allocation, cgroup: this.#cgroup(view.pod), nodeMemoryBytes: node.allocatable().memoryBytes, maxPids: this.#config.podMaxPids }, view, stop);
      this.#memory.failures.delete(resizeKey);
      recorder.emit('Normal', 'ResizeCompleted', resizeText(view.pod));
    } catch (error) {
      if (stop.aborted || isStatus(error, 'ServiceUnavailable')) throw error;
      this.#memory.fail(resizeKey, 'ResizeError', messageOf(error), clock.monotonic(), configBackoff);
      recorder.emit('Warning', 'ResizeError', `Pod resize error: ${messageOf(error)}`);
    }
  }

  /** Also one that is not ready: only this frees its network and its address. */
  async #stopSandbox(view: PodView, { id, last }: Extract<Decision, { type: 'stop-sandbox' }>, { stop, interrupt }: Signals): Promise<void> {
    const { driver, unhurried, clock } = this.#deps;
    const { pod } = view;
    const stopIt = (): Promise<void> => driver.stopSandbox(id, stop);
    try {
      await (last && !isAwaited(view) ? unhurried.runSoon(stopIt, unhurriedMs, clock, interrupt) : stopIt());
      if (last) {
        await this.#endOrphans(pod);
        await releaseSubPaths(this.#paths);
        await this.#deps.lookup.csi?.release(pod.metadata?.uid ?? '', stop);
        await removeVolumes(this.#paths, this.#deps.driver, stop);
      }
      this.#memory.stopped.add(id);
    } catch (error) {
      if (!interrupt.aborted && !isStatus(error, 'ServiceUnavailable')) this.#deps.recorder.emit('Warning', 'FailedKillPod', `error stopping the pod's sandbox: ${messageOf(error)}`);
      throw error;
    }
  }

  async #prune(pod: Pod, { containers, sandboxes }: Extract<Decision, { type: 'prune' }>, stop: AbortSignal): Promise<void> {
    for (const { id, name, attempt, logPath } of containers) {
      await this.#deps.driver.removeContainer(id, stop);
      await unlinkLog(this.#paths, pod, { name, id });
      // Also where logs were when it was made, which is seldom another place.
      const usual = join(this.#paths.logs, logFileOf(name, attempt));
      const logs = logPath === '' || logPath === usual ? [usual] : [usual, logPath];
      for (const path of [...logs, ...(await Promise.all(logs.map(rotated))).flat(), this.#paths.terminationLog(name, attempt)]) await rm(path, { force: true });
    }
    for (const { id } of sandboxes) await this.#deps.driver.removeSandbox(id, stop);
  }

  async #remove(view: PodView, stop: AbortSignal): Promise<void> {
    const { driver, recorder, clock } = this.#deps;
    try {
      for (const { name } of view.containers.filter(isRunning)) recorder.emit('Normal', 'Killing', `Stopping container ${name}`, name);
      await Promise.all(view.sandboxes.map(({ id }) => driver.removeSandbox(id, stop)));
      const orphaned = view.containers.filter((c) => !view.sandboxes.some((s) => s.id === c.sandboxId));
      await Promise.all(orphaned.map(({ id }) => driver.removeContainer(id, stop)));
      await this.#endOrphans(view.pod);
      // They die a little later; nobody would look for the cgroup once the pod is gone.
      const isGone = await removeCgroup(this.#cgroup(view.pod));
      if (!isGone && (this.#memory.failures.get(sandboxKey)?.count ?? 0) < cgroupTries) throw new StatusError('Conflict', 'processes of the pod are still ending');
      await releaseSubPaths(this.#paths);
      await this.#deps.lookup.csi?.release(view.pod.metadata?.uid ?? '', stop);
      await removePodFiles(this.#paths, driver, stop);
      this.#memory.failures.delete(sandboxKey);
    } catch (error) {
      if (stop.aborted || isStatus(error, 'ServiceUnavailable')) throw error;
      this.#memory.fail(sandboxKey, 'FailedKillPod', messageOf(error), clock.monotonic(), configBackoff);
      recorder.emit('Warning', 'FailedKillPod', `error killing pod: ${messageOf(error)}`);
    }
  }

  /** Of the pod as a whole, and of all pods together, so that they leave the host what it keeps for itself. */
  async #limit(pod: Pod): Promise<void> {
    try {
      const { node } = this.#deps;
      await limitCgroup(this.#config.cgroupRoot, allPodsLimits(node.allocatable(), await node.podPids?.()));
      await limitCgroup(this.#cgroup(pod), podCgroupLimits(pod, this.#config.podMaxPids, Object.keys(node.resources?.() ?? {}).filter(isHugePages)));
    } catch (error) {
      this.#deps.log.warn({ pod: pod.metadata?.name, err: messageOf(error) }, 'limits of the whole pod cannot be set');
    }
  }

  /** No container is left, yet a shim that was killed while it started one may have left that running, and no runtime knows of it. Kubelet ends those, too. */
  async #endOrphans(pod: Pod): Promise<void> {
    const count = await killProcesses(this.#cgroup(pod));
    if (count > 0) this.#deps.log.warn({ pod: pod.metadata?.name, count }, 'ended processes of a pod that belonged to no container any more');
  }

  #cgroup({ metadata }: Pod): string {
    return podCgroup(this.#config.cgroupRoot, metadata?.uid ?? '');
  }

  #failed(container: string, reason: string, message: string): void {
    this.#memory.fail(container, reason, message, this.#deps.clock.monotonic(), configBackoff);
    this.#deps.recorder.emit('Warning', 'Failed', `Error: ${message}`, container);
  }
}

/** Whether somebody waits for what a pod that has ended has of its host: its memory, its place or its ports. */
function isAwaited({ pod, eviction, withheld }: PodView): boolean {
  return eviction !== undefined || withheld !== undefined || [...containersOf(pod), ...initContainersOf(pod)].some(({ ports }) => ports?.some(({ hostPort }) => (hostPort ?? 0) > 0));
}

/** The container whose processes an ephemeral one is to see. */
function targetOf(view: PodView, { targetContainerName }: EphemeralContainer): string | undefined {
  if (targetContainerName === undefined || targetContainerName === '') return undefined;
  const target = attemptsOf(view, targetContainerName).find(isRunning);
  if (!target) throw new StatusError('NotFound', `unable to find target container ${targetContainerName}: it does not run`);
  return target.id;
}
