import { enabledAt, type ExtensionPoint, type Profile } from './profile.ts';
import type { ClusterEvent, ClusterEventType, CycleState, Plugin, PodInfo, Queued, Rejection } from './types.ts';

type With<K extends keyof Plugin> = Plugin & Required<Pick<Plugin, K>>;

/** Stands for a plugin's name where a pod was refused because there are no nodes at all. */
export const noNodes = 'no-nodes';

/** The plugins of one profile, sorted by what they extend, so that a cycle asks only those that have an answer. */
export class Framework {
  readonly schedulerName: string;
  readonly preEnqueue: readonly With<'preEnqueue'>[];
  readonly preFilter: readonly With<'preFilter'>[];
  readonly filter: readonly With<'filter'>[];
  readonly postFilter: readonly With<'postFilter'>[];
  readonly preScore: readonly With<'preScore'>[];
  readonly score: readonly { readonly plugin: With<'score'>; readonly weight: number }[];
  readonly reserve: readonly With<'reserve'>[];
  readonly unreserve: readonly With<'unreserve'>[];
  readonly permit: readonly With<'permit'>[];
  readonly preBind: readonly With<'preBind'>[];
  readonly bind: readonly With<'bind'>[];
  readonly postBind: readonly With<'postBind'>[];
  /** 0: by the size of the cluster. */
  readonly percentageOfNodesToScore: number;
  readonly #plugins: readonly Plugin[];
  readonly #profile: Profile;
  readonly #queueSort: readonly With<'queueSort'>[];
  readonly #watching: ReadonlyMap<string, { readonly plugin: Plugin; readonly events: ReadonlySet<ClusterEventType> }>;

  constructor(plugins: readonly Plugin[], profile: Profile = {}) {
    const having = <K extends keyof Plugin & ExtensionPoint>(point: K): With<K>[] => enabledAt(point, plugins, profile)
      .flatMap(({ plugin }) => (plugin[point] === undefined ? [] : [plugin as With<K>]));
    this.#plugins = plugins;
    this.#profile = profile;
    this.schedulerName = profile.schedulerName ?? 'default-scheduler';
    this.percentageOfNodesToScore = profile.percentageOfNodesToScore ?? 0;
    this.#queueSort = having('queueSort');
    this.preEnqueue = having('preEnqueue');
    this.preFilter = having('preFilter');
    this.filter = having('filter');
    this.postFilter = having('postFilter');
    this.preScore = having('preScore');
    this.score = enabledAt('score', plugins, profile)
      .flatMap(({ plugin, weight }) => (plugin.score === undefined ? [] : [{ plugin: plugin as With<'score'>, weight }]));
    this.reserve = having('reserve');
    this.unreserve = this.reserve.length === 0 ? [] : enabledAt('reserve', plugins, profile).flatMap(({ plugin }) => (plugin.unreserve ? [plugin as With<'unreserve'>] : [])).reverse();
    this.permit = having('permit');
    this.preBind = having('preBind');
    this.bind = having('bind');
    this.postBind = having('postBind');
    this.#watching = new Map(plugins.map((plugin) => [plugin.name, { plugin, events: new Set(plugin.events) }]));
  }

  /** With these plugins alone, as far as the profile has them. */
  only(names: ReadonlySet<string>): Framework {
    return new Framework(this.#plugins.filter(({ name }) => names.has(name)), this.#profile);
  }

  /** True when `a` is to be tried before `b`. */
  comesFirst(a: Queued, b: Queued): boolean {
    return this.#queueSort[0]?.queueSort(a, b) ?? a.sequence < b.sequence;
  }

  /** True when events of this type may help pods that the plugin refused. */
  watches(plugin: string, type: ClusterEventType): boolean {
    return plugin === noNodes ? type === 'node-added' : this.#watching.get(plugin)?.events.has(type) ?? false;
  }

  /** True when this event may help this pod, which the plugin refused. */
  mayHelp(plugin: string, event: ClusterEvent, pod: PodInfo): boolean {
    if (!this.watches(plugin, event.type)) return false;
    return this.#watching.get(plugin)?.plugin.helps?.(pod, event) ?? true;
  }

  isGated(pod: PodInfo): boolean {
    return this.preEnqueue.some((plugin) => plugin.preEnqueue(pod) !== undefined);
  }

  /** Runs Reserve; on a refusal what was reserved is given back. */
  reserveAll(pod: PodInfo, nodeName: string, state: CycleState): { plugin: string; rejection: Rejection } | undefined {
    for (const plugin of this.reserve) {
      const rejection = plugin.reserve(pod, nodeName, state);
      if (rejection) {
        this.unreserveAll(pod, nodeName, state);
        return { plugin: plugin.name, rejection };
      }
    }
    return undefined;
  }

  unreserveAll(pod: PodInfo, nodeName: string, state: CycleState): void {
    for (const plugin of this.unreserve) plugin.unreserve(pod, nodeName, state);
  }
}
