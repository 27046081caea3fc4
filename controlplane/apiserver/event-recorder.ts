import { createHash } from 'node:crypto';
import type { Event } from '#api/gen/types.ts';
import { events } from '#api/kinds/resources.ts';
import type { ObjectMeta } from '#api/meta/object.ts';
import type { Clock } from '#common/clock.ts';
import { rfc3339 } from '#common/time.ts';
import { isStatus, messageOf } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import type { ApiClient, EventRecorder, EventSubject, EventTimes } from './types.ts';

export interface EventRecorderConfig {
  /** `deployment-controller`, `scheduler`: who reports. */
  readonly component: string;
  /** The host, where the component is tied to one. */
  readonly host?: string;
}

interface Known {
  readonly namespace: string;
  readonly name: string;
  count: number;
}

interface Budget { tokens: number; atMs: number }

const maxQueued = 1000;
const maxKnown = 2048;
/** Per object: this many at once, then one every five minutes. A crash loop must not crowd out the rest. */
const burst = 25;
const refillMs = 300_000;

/** Writes Events behind the caller's back, in order; repeats raise a count. What cannot be written is dropped. */
export class ApiEventRecorder implements EventRecorder {
  readonly #client: ApiClient;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #config: EventRecorderConfig;
  readonly #known = new Map<string, Known>();
  readonly #budgets = new Map<string, Budget>();
  readonly #queue: (() => Promise<void>)[] = [];
  #writing = false;
  #sequence = 0;

  constructor(deps: { readonly client: ApiClient; readonly clock: Clock; readonly log: Log }, config: EventRecorderConfig) {
    this.#client = deps.client;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#config = config;
  }

  event(about: EventSubject, type: 'Normal' | 'Warning', reason: string, message: string, times?: EventTimes): void {
    if (this.#queue.length >= maxQueued || !this.#spend(about)) return;
    const nowMs = this.#clock.now();
    this.#queue.push(() => this.#write(about, type, reason, message.slice(0, 1024), times ?? { count: 1, firstMs: nowMs, lastMs: nowMs }));
    if (!this.#writing) void this.#drain();
  }

  #spend(about: EventSubject): boolean {
    const key = about.metadata?.uid ?? `${about.kind}/${about.metadata?.name ?? ''}`;
    const now = this.#clock.monotonic();
    const budget = this.#budgets.get(key) ?? { tokens: burst, atMs: now };
    const tokens = Math.min(burst, budget.tokens + (now - budget.atMs) / refillMs);
    remember(this.#budgets, key, { tokens: Math.max(0, tokens - 1), atMs: now });
    return tokens >= 1;
  }

  async #drain(): Promise<void> {
    this.#writing = true;
    for (let next = this.#queue.shift(); next; next = this.#queue.shift()) {
      try {
        await next();
      } catch (error) {
        this.#log.debug({ err: messageOf(error) }, 'event not written');
      }
    }
    this.#writing = false;
  }

  async #write(about: EventSubject, type: string, reason: string, message: string, times: EventTimes): Promise<void> {
    const key = [about.kind, about.metadata?.namespace, about.metadata?.name, about.metadata?.uid, about.fieldPath, about.host, type, reason, message].join('\0');
    const known = this.#known.get(key);
    if (known) {
      remember(this.#known, key, known);
      known.count += times.count;
      try {
        await this.#client.patch(events, known.namespace, known.name, 'merge', { count: known.count, lastTimestamp: rfc3339(times.lastMs) });
        return;
      } catch (error) {
        // It has expired: begin anew.
        if (!isStatus(error, 'NotFound')) throw error;
      }
    }
    const event = this.#event(about, type, reason, message, times, key);
    const { namespace = 'default', name = '' } = event.metadata;
    remember(this.#known, key, { namespace, name, count: times.count });
    await this.#client.create(events, event);
  }

  /** As Kubernetes: the time in nanoseconds, so that a list of events is in their order. What milliseconds leave open tells events apart. */
  #suffix(key: string, atMs: number): string {
    this.#sequence = (this.#sequence + 1) % 1000;
    const hash = createHash('sha256').update(this.#config.component).update(key).digest().readUInt16BE() % 1000;
    return (BigInt(Math.trunc(atMs)) * 1_000_000n + BigInt(this.#sequence * 1000 + hash)).toString(16);
  }

  #event(about: EventSubject, type: string, reason: string, message: string, { count, firstMs, lastMs }: EventTimes, key: string): Event & { metadata: ObjectMeta } {
    const { name = '', namespace, uid, resourceVersion } = about.metadata ?? {};
    const { fieldPath, host = this.#config.host } = about;
    const { component } = this.#config;
    const suffix = this.#suffix(key, firstMs);
    return {
      apiVersion: 'v1', kind: 'Event',
      metadata: { name: `${name.slice(0, 230)}.${suffix}`, namespace: namespace ?? 'default' },
      involvedObject: { apiVersion: about.apiVersion, kind: about.kind, name, ...(namespace !== undefined && { namespace }), ...(uid !== undefined && { uid }), ...(resourceVersion !== undefined && { resourceVersion }), ...(fieldPath !== undefined && { fieldPath }) },
      type, reason, message, count, firstTimestamp: rfc3339(firstMs), lastTimestamp: rfc3339(lastMs),
      source: { component, ...(host !== undefined && { host }) }, reportingComponent: component, reportingInstance: host ?? '',
    };
  }
}

/** Puts last, and lets the longest unused go when there are too many. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= maxKnown) return;
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}
