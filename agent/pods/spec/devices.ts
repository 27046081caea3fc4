import type { ContainerParts } from '#agent/devices/types.ts';
import type { ContainerConfig } from '#agent/runtimes/types.ts';

/** The container with its devices. Where its own environment or mounts name the same, they win, as with the kubelet. */
export function withDevices(config: ContainerConfig, { env, mounts, devices, annotations, cdiDevices }: ContainerParts): ContainerConfig {
  const own = new Set(config.env.map(({ name }) => name));
  const taken = new Set(config.mounts.map(({ containerPath }) => containerPath));
  return {
    ...config,
    env: [...Object.entries(env).filter(([name]) => !own.has(name)).map(([name, value]) => ({ name, value })), ...config.env],
    mounts: [...mounts.filter(({ containerPath }) => !taken.has(containerPath)).map((mount) => ({ ...mount, propagation: 'None' as const })), ...config.mounts],
    ...(devices.length > 0 && { devices: [...config.devices ?? [], ...devices] }),
    ...(Object.keys(annotations).length > 0 && { annotations }),
    ...(cdiDevices.length > 0 && { cdiDevices }),
  };
}
