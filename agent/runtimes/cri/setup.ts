import { isRecord } from '#api/meta/json.ts';
import type { RuntimeSetup } from '../types.ts';
import type { ToldFeatures } from './messages.ts';

/** What the runtime tells of itself, and containerd's CRI configuration as its verbose status gives it; other runtimes tell nothing in this form. */
export function setupOf(config: string | undefined, { runtimeHandlers, features }: ToldFeatures): RuntimeSetup {
  const told = {
    ...(runtimeHandlers.length > 0 && { handlers: runtimeHandlers.map(({ name, features: can }) => ({ name, recursiveReadOnly: can?.recursiveReadOnlyMounts ?? false, userNamespaces: can?.userNamespaces ?? false })) }),
    ...(features?.supplementalGroupsPolicy === true && { strictGroups: true }),
  };
  let value: unknown;
  try {
    value = JSON.parse(config ?? '{}');
  } catch {
    return told;
  }
  if (!isRecord(value)) return told;
  const text = (from: unknown, key: string): string | undefined => {
    const found = isRecord(from) ? from[key] : undefined;
    return typeof found === 'string' && found !== '' ? found : undefined;
  };
  const sandboxImage = text(value, 'sandboxImage');
  const cniConfDir = text(value['cni'], 'confDir');
  const cniBinDir = text(value['cni'], 'binDir');
  const runtimes = isRecord(value['containerd']) ? value['containerd']['runtimes'] : undefined;
  return {
    ...(isRecord(runtimes) && { handlers: Object.keys(runtimes).map((name) => ({ name, recursiveReadOnly: false })) }), ...told,
    ...(sandboxImage !== undefined && { sandboxImage }), ...(cniConfDir !== undefined && { cniConfDir }), ...(cniBinDir !== undefined && { cniBinDir }), ...(value['enableCDI'] === true && { resolvesCdi: true }),
  };
}
