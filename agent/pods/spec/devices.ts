import type { ContainerParts } from '#agent/devices/types.ts';
import type { ContainerConfig } from '#agent/runtimes/types.ts';

/** The container's environment with what its devices bring: its own wins. Its command, its arguments and its subPathExpr may name both, as with the kubelet. */
export function envWithDevices(own: ContainerConfig['env'], env: ContainerParts['env']): ContainerConfig['env'] {
  const taken = new Set(own.map(({ name }) => name));
  return [...Object.entries(env).filter(([name]) => !taken.has(name)).map(([name, value]) => ({ name, value })), ...own];
}

/** The container with its devices; their environment is there already. Where its own mounts name the same, they win, as with the kubelet. */
export function withDevices(config: ContainerConfig, { mounts, devices, annotations, cdiDevices }: ContainerParts): ContainerConfig {
  const taken = new Set(config.mounts.map(({ containerPath }) => containerPath));
  return {
    ...config,
    mounts: [...mounts.filter(({ containerPath }) => !taken.has(containerPath)).map((mount) => ({ ...mount, propagation: 'None' as const })), ...config.mounts],
    ...(devices.length > 0 && { devices: [...config.devices ?? [], ...devices] }),
    ...(Object.keys(annotations).length > 0 && { annotations }),
    ...(cdiDevices.length > 0 && { cdiDevices }),
  };
}
