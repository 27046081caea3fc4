import type { ContainerdHandler } from './handlers.ts';
import type { ContainerdPaths } from './paths.ts';

export interface ContainerdSettings {
  readonly paths: ContainerdPaths;
  readonly sandboxImage: string;
  readonly cniBinDir: string;
  readonly snapshotter: 'overlayfs' | 'native';
  /** Beside runc, by the names that RuntimeClasses may give. */
  readonly handlers: ReadonlyMap<string, ContainerdHandler>;
  /** False where root lacks CAP_SYS_RESOURCE, as in many containers and build machines. */
  readonly mayLowerOomScore: boolean;
}

/** Plugins that cost memory and that nothing of ours uses. */
const disabled = [
  'io.containerd.snapshotter.v1.btrfs', 'io.containerd.snapshotter.v1.devmapper', 'io.containerd.snapshotter.v1.zfs',
  'io.containerd.snapshotter.v1.aufs', 'io.containerd.snapshotter.v1.blockfile',
  'io.containerd.tracing.processor.v1.otlp', 'io.containerd.internal.v1.tracing',
];

/** containerd's config.toml. A JSON string is a valid TOML basic string. */
export function containerdConfig(settings: ContainerdSettings): string {
  const { paths } = settings;
  const q = (text: string): string => JSON.stringify(text);
  return `# Written by Cleat at every start; changes are lost.
version = 2
root = ${q(paths.root)}
state = ${q(paths.state)}
disabled_plugins = [${disabled.map(q).join(', ')}]

[grpc]
  address = ${q(paths.socket)}

[ttrpc]
  address = ${q(paths.ttrpcSocket)}

[debug]
  level = "warn"

[plugins."io.containerd.internal.v1.opt"]
  path = ${q(paths.opt)}

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = ${q(settings.sandboxImage)}
  restrict_oom_score_adj = ${String(!settings.mayLowerOomScore)}
  netns_mounts_under_state_dir = true
  enable_cdi = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = ${q(settings.cniBinDir)}
    conf_dir = ${q(paths.cniConfDir)}
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = ${q(paths.registryHosts)}
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = ${q(settings.snapshotter)}
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
${[...settings.handlers].map(([name, { type, binary }]) => `    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.${name}]
      runtime_type = ${q(type)}
${binary === undefined ? '' : `      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.${name}.options]
        BinaryName = ${q(binary)}
`}`).join('')}`;
}
