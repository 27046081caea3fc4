import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';

export interface ContainerdPaths {
  readonly config: string;
  readonly log: string;
  readonly root: string;
  readonly opt: string;
  /** How registries are reached, in containerd's own form. */
  readonly registryHosts: string;
  readonly cniConfDir: string;
  /** Where host-local notes the addresses that are taken, a folder for each network. */
  readonly cniDataDir: string;
  /** Where pods' network namespaces are kept open. */
  readonly netnsDir: string;
  /** Below /run: gone after a reboot, like the processes that it describes. */
  readonly runDir: string;
  readonly state: string;
  readonly socket: string;
  readonly ttrpcSocket: string;
  readonly pidFile: string;
  /** What there was before the containerd that runs was started, until it has been looked through. */
  readonly inheritedFile: string;
}

/**
 * Everything follows from the state directory. The run directory is named by a hash of it, because a unix
 * socket's path may have at most 107 bytes however long the state directory's is.
 */
export function containerdPaths(stateDir: string, runRoot = '/run/cleat'): ContainerdPaths {
  const base = join(resolve(stateDir), 'containerd');
  const runDir = join(runRoot, createHash('sha256').update(resolve(stateDir)).digest('hex').slice(0, 12));
  return {
    config: join(base, 'config.toml'),
    log: join(base, 'containerd.log'),
    root: join(base, 'root'),
    opt: join(base, 'opt'),
    registryHosts: join(base, 'certs.d'),
    cniConfDir: join(resolve(stateDir), 'cni', 'net.d'),
    cniDataDir: join(resolve(stateDir), 'cni', 'data'),
    netnsDir: join(runDir, 'containerd', 'io.containerd.grpc.v1.cri', 'netns'),
    runDir,
    state: join(runDir, 'containerd'),
    socket: join(runDir, 'containerd.sock'),
    ttrpcSocket: join(runDir, 'containerd.sock.ttrpc'),
    pidFile: join(runDir, 'containerd.pid'),
    inheritedFile: join(runDir, 'inherited.json'),
  };
}
