import { StatusError } from '#common/errors.ts';
import type { Plugin } from './types.ts';

/** The extension points under the names of KubeSchedulerConfiguration. */
export const extensionPoints = [
  'preEnqueue', 'queueSort', 'preFilter', 'filter', 'postFilter', 'preScore', 'score', 'reserve', 'permit', 'preBind', 'bind', 'postBind',
] as const;
export type ExtensionPoint = (typeof extensionPoints)[number];

export interface PluginRef {
  readonly name: string;
  /** Of Score; 0 and absent leave it as it is. */
  readonly weight?: number;
}

/** What is switched on besides the defaults, and off; `*` stands for all defaults. */
export interface PluginSet {
  readonly enabled?: readonly PluginRef[];
  readonly disabled?: readonly PluginRef[];
}

/** One profile of https://kubernetes.io/docs/reference/scheduling/config/#profiles */
export interface Profile {
  readonly schedulerName?: string;
  readonly percentageOfNodesToScore?: number;
  readonly plugins?: Readonly<Partial<Record<ExtensionPoint | 'multiPoint', PluginSet>>>;
  /** Arguments by plugin name. */
  readonly pluginConfig?: ReadonlyMap<string, unknown>;
}

/** Throws `Invalid` when the profile names plugins that there are not, or leaves out what no scheduler can do without. */
export function checkProfile(profile: Profile, plugins: readonly Plugin[]): void {
  const names = new Set(plugins.map(({ name }) => name));
  const fail = (why: string): never => { throw new StatusError('Invalid', `scheduler profile ${profile.schedulerName ?? ''}: ${why}`); };
  for (const [point, { enabled = [], disabled = [] } = {}] of Object.entries(profile.plugins ?? {})) {
    for (const { name } of [...enabled, ...disabled]) {
      if (name !== '*' && !names.has(name)) fail(`plugins.${point} names ${name}; there are ${[...names].sort().join(', ')}`);
    }
    for (const { name } of enabled) {
      if (point !== 'multiPoint' && plugins.find((one) => one.name === name)?.[point as ExtensionPoint] === undefined) fail(`plugins.${point} enables ${name}, which does nothing there`);
    }
  }
  for (const name of profile.pluginConfig?.keys() ?? []) if (!names.has(name)) fail(`pluginConfig is for ${name}; there are ${[...names].sort().join(', ')}`);
  const at = (point: ExtensionPoint): number => enabledAt(point, plugins, profile).filter(({ plugin }) => plugin[point] !== undefined).length;
  if (at('queueSort') !== 1) fail('exactly one plugin must be enabled at queueSort');
  if (at('bind') === 0) fail('one plugin at least must be enabled at bind');
}

export interface EnabledPlugin {
  readonly plugin: Plugin;
  readonly weight: number;
}

/**
 * The plugins in use at one extension point, in order. What the point itself says wins over `multiPoint`, and that
 * over the defaults: first those that the point puts in place of defaults, where they stand, then the rest.
 * Source: https://kubernetes.io/docs/reference/scheduling/config/#multipoint
 */
export function enabledAt(point: ExtensionPoint, plugins: readonly Plugin[], profile: Profile): EnabledPlugin[] {
  const multi = applied(plugins.map((plugin) => ({ plugin, weight: plugin.weight ?? 1 })), profile.plugins?.multiPoint, plugins);
  return applied(multi, profile.plugins?.[point], plugins);
}

function applied(base: readonly EnabledPlugin[], { enabled = [], disabled = [] }: PluginSet = {}, plugins: readonly Plugin[]): EnabledPlugin[] {
  const off = new Set(disabled.map(({ name }) => name));
  const on = new Map(enabled.map((ref) => [ref.name, ref]));
  const kept = base.filter(({ plugin }) => !off.has('*') && !off.has(plugin.name))
    .map(({ plugin, weight }) => ({ plugin, weight: on.get(plugin.name)?.weight || weight }));
  const present = new Set(kept.map(({ plugin }) => plugin.name));
  const added = enabled.filter(({ name }) => !present.has(name)).flatMap(({ name, weight }) => {
    const plugin = plugins.find((one) => one.name === name);
    return plugin ? [{ plugin, weight: weight || (plugin.weight ?? 1) }] : [];
  });
  return [...kept, ...added];
}
