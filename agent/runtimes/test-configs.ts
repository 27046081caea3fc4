import { helloImage } from '#install/images.ts';
import type { ContainerConfig, SandboxConfig } from './types.ts';

let serial = 0;

/** For tests: a sandbox with names of its own, and what a pod has that asks for nothing. */
export function sandboxConfig(logDirectory: string, change: Partial<SandboxConfig> = {}): SandboxConfig {
  const uid = `uid-${String(process.pid)}-${String(++serial)}`;
  return {
    podUid: uid, podNamespace: 'default', podName: `pod-${String(serial)}`, attempt: 0, hostname: `pod-${String(serial)}`, logDirectory,
    cgroupParent: `/cleat-contract/${uid}`, hostNetwork: false, hostPid: false, hostIpc: false, shareProcessNamespace: false, privileged: false, runtimeHandler: '', sysctls: {},
    dns: { servers: ['10.43.0.10'], searches: [], options: [] }, ports: [], labels: {}, ...change,
  };
}

/** For tests: a container that runs a shell's script, and is allowed and limited as one that asks for nothing. */
export function containerConfig(script: string, change: Partial<ContainerConfig> = {}): ContainerConfig {
  return {
    name: 'app', attempt: 0, image: helloImage, command: ['/bin/sh', '-c', script], args: [], workingDir: '', env: [], mounts: [],
    specHash: 'abc', graceSeconds: 7, logFile: 'app.log', stdin: false, stdinOnce: false, tty: false,
    resources: { cpuShares: 2, cpuQuotaMicros: 0, cpuPeriodMicros: 100_000, memoryLimitBytes: 0, oomScoreAdj: 1000, hugepageLimits: [] },
    security: { supplementalGroups: [], privileged: false, readOnlyRoot: false, noNewPrivileges: false, addCapabilities: [], dropCapabilities: [], maskedPaths: [], readonlyPaths: [], seccomp: { type: 'Unconfined' } },
    ...change,
  };
}
