import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from './eventually.ts';
import type { LabHost } from './host.ts';
import type { LabProcess } from './process.ts';

export interface LabContainerd {
  /** Path of its socket, the same in the host and on the machine. */
  readonly socket: string;
  /** Where CNI configuration belongs. */
  readonly cniConfigDirectory: string;
  readonly process: LabProcess;
}

export interface LabContainerdConfig {
  readonly sandboxImage?: string;
}

/** Starts a bare containerd in the host, for tests that bring no agent. Content and snapshots survive a crash. */
export async function startContainerd(host: LabHost, config: LabContainerdConfig = {}): Promise<LabContainerd> {
  const directory = join(host.stateDirectory, 'lab-containerd');
  const cniConfigDirectory = join(directory, 'cni');
  mkdirSync(cniConfigDirectory, { recursive: true });
  const socket = join(directory, 'containerd.sock');
  const file = join(directory, 'config.toml');
  writeFileSync(file, toml(directory, socket, cniConfigDirectory, config.sandboxImage ?? 'lab.local/pause:1'));
  const process_ = host.spawn('containerd', 'containerd', ['-c', file]);
  await eventually(async () => (await host.exec('ctr', ['-a', socket, 'version'])).exitCode === 0, {
    what: 'containerd to answer', explain: () => process_.output().slice(-4000),
  });
  return { socket, cniConfigDirectory, process: process_ };
}

/** OOM scores are left alone because a lab may run without CAP_SYS_RESOURCE. */
function toml(directory: string, socket: string, cniConfigDirectory: string, sandboxImage: string): string {
  const unused = ['snapshotter.v1.btrfs', 'snapshotter.v1.devmapper', 'snapshotter.v1.zfs', 'snapshotter.v1.aufs', 'tracing.processor.v1.otlp', 'internal.v1.tracing'];
  return `version = 2
root = ${JSON.stringify(join(directory, 'root'))}
state = "/run/containerd"
disabled_plugins = ${JSON.stringify(unused.map((p) => `io.containerd.${p}`))}
[grpc]
  address = ${JSON.stringify(socket)}
[plugins."io.containerd.internal.v1.opt"]
  path = ${JSON.stringify(join(directory, 'opt'))}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = ${JSON.stringify(sandboxImage)}
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = ${JSON.stringify(cniConfigDirectory)}
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
`;
}
