import { systemClock } from '#common/clock.ts';
import { DockerEngine } from '#agent/runtimes/docker/engine.ts';
import type { EngineVersion } from '#agent/runtimes/docker/messages.ts';
import { eventually } from './eventually.ts';
import type { LabHost } from './host.ts';
import type { LabProcess } from './process.ts';

const forever = new AbortController().signal;

/** containerd as Docker's own packages configure it: for everybody on the host, on its usual socket, without CRI. */
export async function startPlainContainerd(host: LabHost): Promise<LabProcess> {
  await host.sh('mkdir -p /etc/containerd; cat > /etc/containerd/config.toml', { input: 'version = 2\nroot = "/var/lib/cleat/of-containerd"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' });
  const containerd = host.spawn('containerd', 'containerd', []);
  await eventually(async () => (await host.exec('ctr', ['--connect-timeout', '1s', 'version'])).exitCode === 0, { what: 'containerd to answer', timeoutMs: 60_000, explain: () => containerd.output().slice(-4000) });
  return containerd;
}

/** A Docker as its package starts it, on the containerd that runs already. */
export async function startDocker(host: LabHost): Promise<LabProcess> {
  await host.sh('mkdir -p /etc/docker; rm -f /run/docker.pid; echo "{}" > /etc/docker/daemon.json');
  const docker = host.spawn('dockerd', 'dockerd', ['--data-root', '/var/lib/cleat/of-docker', '--oom-score-adjust', '0']);
  await eventually(async () => (await engineOf(host).call<EngineVersion>('GET', '/version', {}, forever)).Version !== '', { what: 'Docker to answer', timeoutMs: 60_000, explain: () => docker.output().slice(-4000) });
  return docker;
}

export function engineOf(host: LabHost): DockerEngine {
  return new DockerEngine(host.path('/run/docker.sock'), systemClock);
}
