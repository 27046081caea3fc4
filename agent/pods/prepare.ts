import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Container, Pod } from '#api/gen/types.ts';
import type { ContainerConfig, ImageUser, SandboxConfig } from '#agent/runtimes/types.ts';
import type { PodPaths } from './paths.ts';
import { containerConfig } from './spec/container-config.ts';
import { parseResolvConf, podDns } from './spec/dns.ts';
import { containerEnv, type ObjectLookup } from './spec/env.ts';
import type { FieldFacts } from './spec/fields.ts';
import { hostsFile } from './spec/hosts-file.ts';
import { sandboxConfig } from './spec/sandbox-config.ts';
import { createTerminationFile, defaultTerminationPath } from './termination.ts';
import type { NodeFacts, PodManagerConfig } from './types.ts';
import { containerMounts } from './volumes/volumes.ts';

const stubResolver = '127.0.0.53';
const resolvedUpstream = '/run/systemd/resolve/resolv.conf';

export function fieldFacts(config: PodManagerConfig, node: NodeFacts, podIps: readonly string[]): FieldFacts {
  return { nodeName: config.nodeName, hostIps: node.hostIps(), podIps, allocatable: node.allocatable() };
}

export async function prepareSandbox(pod: Pod, attempt: number, paths: PodPaths, config: PodManagerConfig): Promise<SandboxConfig> {
  await mkdir(paths.logs, { recursive: true, mode: 0o750 });
  const dns = podDns(pod, { clusterDns: config.clusterDns, clusterDomain: config.clusterDomain, host: await hostDns(config.resolvConfPath) });
  return sandboxConfig(pod, { attempt, logDirectory: paths.logs, cgroupRoot: config.cgroupRoot, dns });
}

/** systemd-resolved's stub answers on the host's loopback only, where no pod reaches it. */
async function hostDns(path: string): Promise<SandboxConfig['dns']> {
  const dns = parseResolvConf(await readFile(path, 'utf8').catch(() => ''));
  if (!dns.servers.includes(stubResolver)) return dns;
  return parseResolvConf(await readFile(resolvedUpstream, 'utf8').catch(() => ''));
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
}

/** Everything that a container needs on disk, and its configuration. */
export async function prepareContainer({ pod, container, attempt, paths, lookup, facts, imageUser }: ContainerInputs): Promise<ContainerConfig> {
  const env = containerEnv(pod, container, lookup, facts);
  const mounts = await containerMounts(pod, container, paths, env);
  await mkdir(join(paths.logs, container.name), { recursive: true, mode: 0o755 });
  const own = (containerPath: string, hostPath: string): void => {
    if (!mounts.some((m) => m.containerPath === containerPath)) mounts.push({ containerPath, hostPath, readOnly: false, propagation: 'None' });
  };
  own('/etc/hosts', paths.hostsFile);
  own(container.terminationMessagePath ?? defaultTerminationPath, await createTerminationFile(paths, container.name, attempt));
  return containerConfig(pod, container, { attempt, env, mounts, nodeMemoryBytes: facts.allocatable.memoryBytes, imageUser });
}
