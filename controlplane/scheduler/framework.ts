import type { ClusterEvent, CycleState, Plugin, PodInfo, Rejection } from './types.ts';

type With<K extends keyof Plugin> = Plugin & Required<Pick<Plugin, K>>;

/** Stands for a plugin's name where a pod was refused because there are no nodes at all. */
export const noNodes = 'no-nodes';

/** The plugins in use, sorted by what they extend, so that a cycle asks only those that have an answer. */
export class Framework {
  readonly preEnqueue: readonly With<'preEnqueue'>[];
  readonly preFilter: readonly With<'preFilter'>[];
  readonly filter: readonly With<'filter'>[];
  readonly postFilter: readonly With<'postFilter'>[];
  readonly preScore: readonly With<'preScore'>[];
  readonly score: readonly With<'score'>[];
  readonly reserve: readonly With<'reserve'>[];
  readonly unreserve: readonly With<'unreserve'>[];
  readonly preBind: readonly With<'preBind'>[];
  readonly bind: readonly With<'bind'>[];
  readonly #events: ReadonlyMap<string, ReadonlySet<ClusterEvent>>;

  constructor(plugins: readonly Plugin[]) {
    const having = <K extends keyof Plugin>(point: K): With<K>[] => plugins.filter((p): p is With<K> => p[point] !== undefined);
    this.preEnqueue = having('preEnqueue');
    this.preFilter = having('preFilter');
    this.filter = having('filter');
    this.postFilter = having('postFilter');
    this.preScore = having('preScore');
    this.score = having('score');
    this.reserve = having('reserve');
    this.unreserve = having('unreserve');
    this.preBind = having('preBind');
    this.bind = having('bind');
    this.#events = new Map(plugins.map((p) => [p.name, new Set(p.events)]));
  }

  /** True when the event may help a pod that the plugin refused. */
  mayHelp(plugin: string, event: ClusterEvent): boolean {
    return plugin === noNodes ? event === 'node-added' : this.#events.get(plugin)?.has(event) ?? false;
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
    for (const plugin of this.unreserve.toReversed()) plugin.unreserve(pod, nodeName, state);
  }
}
