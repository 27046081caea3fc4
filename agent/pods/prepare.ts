import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Container, Pod } from '#api/gen/types.ts';
import { StatusError } from '#common/errors.ts';
import type { ContainerParts } from '#agent/devices/types.ts';
import { wantsOf } from '#agent/devices/wants.ts';
import type { ContainerConfig, LogRotation, ImageUser, SandboxConfig } from '#agent/runtimes/types.ts';
import { enforcesAppArmor } from './admit.ts';
import { makeLogFolder } from './logs/folder.ts';
import type { PodPaths } from './paths.ts';
import { containerConfig } from './spec/container-config.ts';
import { envWithDevices, withDevices } from './spec/devices.ts';
import { parseResolvConf, podDns } from './spec/dns.ts';
import { containerEnv, type ObjectLookup } from './spec/env.ts';
import type { FieldFacts } from './spec/fields.ts';
import { hostsFile } from './spec/hosts-file.ts';
import { isHugePages } from './spec/resources.ts';
import { sandboxConfig } from './spec/sandbox-config.ts';
import type { RuntimeAbilities } from './spec/unsupported.ts';
import { createTerminationFile, defaultTerminationPath } from './termination.ts';
import type { NodeFacts, PodManagerConfig } from './types.ts';
import { containerDevices, containerMounts } from './volumes/volumes.ts';

const stubResolver = '127.0.0.53';
const resolvedUpstream = '/run/systemd/resolve/resolv.conf';
const loopback = /^(127\.|::1$)/;

export function fieldFacts(config: PodManagerConfig, node: NodeFacts, podIps: readonly string[]): FieldFacts {
  return { nodeName: config.nodeName, hostIps: node.hostIps(), podIps, allocatable: node.allocatable(), ...(node.resources && { resources: node.resources() }) };
}

/** `tell` hears, in words for an Event, what the pod's resolver cannot have of what was asked for. */
export async function prepareSandbox(pod: Pod, attempt: number, paths: PodPaths, config: PodManagerConfig, tell?: (problem: string) => void): Promise<SandboxConfig> {
  await makeLogFolder(paths);
  const host = await hostDns(config.resolvConfPath, pod.spec?.hostNetwork ?? false);
  const { dns, problems } = podDns(pod, { clusterDns: config.clusterDns, clusterDomain: config.clusterDomain, host });
  if (tell) problems.forEach(tell);
  return sandboxConfig(pod, { attempt, logDirectory: paths.logs, cgroupRoot: config.cgroupRoot, clusterDomain: config.clusterDomain, dns });
}

/** What a GPU of NVIDIA is asked for by, and the handler without which containers could not use it. */
const gpu = { resource: 'nvidia.com/gpu', handler: 'nvidia' } as const;

/**
 * What the runtime's configuration calls the pod's RuntimeClass; empty for the usual one. A pod that names none and asks
 * for a GPU gets NVIDIA's where this host has it.
 */
export function runtimeHandler(pod: Pod, lookup: ObjectLookup, node: NodeFacts): string {
  const name = pod.spec?.runtimeClassName;
  if (name === undefined || name === '') return node.runtimeHandlers?.().some((handler) => handler.name === gpu.handler) && wantsOf(pod).some(({ counts }) => counts.has(gpu.resource)) ? gpu.handler : '';
  const found = lookup.runtimeClass(name);
  if (!found) throw new StatusError('NotFound', `failed to lookup RuntimeClass ${name}: runtimeclass.node.k8s.io "${name}" not found`);
  return found.handler;
}

/** What the runtime can do for this pod; nothing special where its class or the runtime is not known yet. */
export function abilitiesOf({ spec }: Pod, lookup: ObjectLookup, node: NodeFacts): RuntimeAbilities {
  const handler = spec?.runtimeClassName ? lookup.runtimeClass(spec.runtimeClassName)?.handler : '';
  const found = node.runtimeHandlers?.().find(({ name = '' }) => name === handler);
  return { recursiveReadOnly: found?.features?.recursiveReadOnlyMounts === true, strictGroups: node.strictGroups?.() };
}

/**
 * A resolver on the host's loopback (systemd-resolved, dnsmasq) is out of reach for all pods but those in the host's
 * network. What systemd-resolved itself asks is known; of others nothing is, so that nobody is named.
 */
async function hostDns(path: string, hostNetwork: boolean): Promise<SandboxConfig['dns']> {
  const read = async (from: string): Promise<SandboxConfig['dns']> => parseResolvConf(await readFile(from, 'utf8').catch(() => ''));
  const dns = await read(path);
  if (hostNetwork) return dns;
  const reachable = dns.servers.includes(stubResolver) ? await read(resolvedUpstream) : dns;
  return { ...reachable, servers: reachable.servers.filter((server) => !loopback.test(server)) };
}

export async function writeHostsFile(pod: Pod, podIps: readonly string[], paths: PodPaths, config: PodManagerConfig): Promise<void> {
  const hostFile = pod.spec?.hostNetwork ? await readFile('/etc/hosts', 'utf8').catch(() => '') : '';
  await mkdir(dirname(paths.hostsFile), { recursive: true, mode: 0o755 });
  await writeFile(paths.hostsFile, hostsFile(pod, podIps, config.clusterDomain, hostFile), { mode: 0o644 });
}

export interface ContainerInputs {
  readonly pod: Pod;
  readonly container: Container;
  readonly attempt: number;
  readonly paths: PodPaths;
  readonly lookup: ObjectLookup;
  readonly facts: FieldFacts;
  readonly imageUser: ImageUser | undefined;
  readonly targetContainerId: string | undefined;
  readonly seccompDir: string;
  readonly logRotation: LogRotation;
  readonly abilities: RuntimeAbilities;
  /** Of its extended resources; absent where it has none. */
  readonly parts?: ContainerParts | undefined;
}

/** Everything that a container needs on disk, and its configuration. */
export async function prepareContainer({ pod, container, attempt, paths, lookup, facts, parts, ...more }: ContainerInputs): Promise<ContainerConfig> {
  const own = containerEnv(pod, container, lookup, facts);
  const env = parts ? envWithDevices(own, parts.env) : own;
  const mounts = await containerMounts(pod, container, paths, env, lookup, more.abilities.recursiveReadOnly);
  const devices = await containerDevices(pod, container, paths, lookup);
  await mkdir(join(paths.logs, container.name), { recursive: true, mode: 0o755 });
  const ours = (containerPath: string, hostPath: string): void => {
    if (!mounts.some((m) => m.containerPath === containerPath)) mounts.push({ containerPath, hostPath, readOnly: false, propagation: 'None' });
  };
  ours('/etc/hosts', paths.hostsFile);
  ours(container.terminationMessagePath ?? defaultTerminationPath, await createTerminationFile(paths, container.name, attempt));
  const config = containerConfig(pod, container, { attempt, env, mounts, nodeMemoryBytes: facts.allocatable.memoryBytes, nodeHugePages: Object.keys(facts.resources ?? {}).filter(isHugePages), appArmor: await enforcesAppArmor(), ...more });
  const complete = devices.length > 0 ? { ...config, devices } : config;
  return parts ? withDevices(complete, parts) : complete;
}
