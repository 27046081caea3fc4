import type { NodeStatus } from '#api/gen/types.ts';
import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { isAbort, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { Wakeup } from '#common/wakeup.ts';
import type { DriverReport } from '#agent/csi/types.ts';
import type { DeviceAmounts } from '#agent/devices/types.ts';
import type { RuntimeDriver, RuntimeSetup } from '#agent/runtimes/types.ts';
import type { NodeReport, NodeReports } from '#agent/session/types.ts';
import { nodeStatus, reportedImages, sameStatus } from './node-status.ts';
import type { Host, HostIdentity, HostReadings } from './readings.ts';
import { amountsOf, crossed, defaultThresholds, type EvictionSignal, type Pressure, type Threshold } from './thresholds.ts';

export interface NodeReporterDeps {
  readonly host: Host;
  readonly runtime: Pick<RuntimeDriver, 'version' | 'notReady' | 'listImages'> & Partial<Pick<RuntimeDriver, 'setup' | 'imageFolder'>>;
  /** Other parts that pods need: why each is not ready, undefined when it is. */
  readonly notReady: readonly (() => string | undefined)[];
  /** What other hosts need to know of this one. */
  readonly annotations?: () => Readonly<Record<string, string>>;
  /** Extended resources; none when absent. */
  readonly devices?: () => DeviceAmounts;
  /** CSI drivers; none when absent. */
  readonly csi?: () => DriverReport | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

export interface NodeReporterConfig {
  readonly nodeName: string;
  /** Cleat's version. */
  readonly version: string;
  readonly maxPods: number;
  /** Between two looks at a host that is ready. One that is not is looked at sooner, with back-off up to this. */
  readonly checkIntervalMs: number;
  /** Beside the well-known ones. */
  readonly labels: Readonly<Record<string, string>>;
  /** Where pressure begins; the usual ones when absent. */
  readonly thresholds?: readonly Threshold[];
  /** How long a condition stays after what brought it is gone; 0 when absent. */
  readonly transitionMs?: number;
  /** What pods cannot have, by resource. */
  readonly reserved?: Readonly<Record<string, string>>;
}

export const nodeReporterDefaults = { maxPods: 110, checkIntervalMs: 10_000, labels: {} } as const;

const runtimeTimeoutMs = 10_000;
/** Only the scheduler asks what images are here, to choose among nodes that all fit. */
const imagesPeriodMs = 300_000;

/** Looks at the host and the runtime and says when the node's status changed. `current` may be asked once `start` has made the first look. */
export class NodeReporter implements NodeReports, Runnable {
  readonly #deps: NodeReporterDeps;
  readonly #config: NodeReporterConfig;
  readonly #listeners = new Set<(report: NodeReport) => void>();
  readonly #pressedListeners = new Set<() => void>();
  readonly #identity: HostIdentity;
  readonly #labels: Readonly<Record<string, string>>;
  #report: NodeReport;
  /** By threshold, since when it has been crossed; monotonic. */
  #crossedMs = new Map<Threshold, number>();
  /** By signal, when a threshold of it was last seen crossed; monotonic. */
  readonly #pressedMs = new Map<EvictionSignal, number>();
  #readings: HostReadings | undefined;
  #runtimeVersion = '';
  #runtimeSetup: RuntimeSetup | undefined;
  #imageFolder: string | undefined;
  #runtimeSeen = false;
  #images: NonNullable<NodeStatus['images']> = [];
  #imagesAtMs = -Infinity;
  readonly #wakeup = new Wakeup();
  #poked = false;

  private constructor(deps: NodeReporterDeps, config: NodeReporterConfig, identity: HostIdentity) {
    this.#deps = deps;
    this.#config = config;
    this.#identity = identity;
    this.#labels = labelsOf(config, identity);
    this.#report = { labels: this.#labels, status: {} };
  }

  /** Makes the first look, so that `current` is complete from the start. */
  static async open(deps: NodeReporterDeps, config: NodeReporterConfig, signal: AbortSignal): Promise<NodeReporter> {
    const reporter = new NodeReporter(deps, config, await deps.host.identity());
    await reporter.#look(signal);
    return reporter;
  }

  current(): NodeReport { return this.#report; }

  subscribe(listener: (report: NodeReport) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Called when a threshold is crossed and none was before, whether or not the status says so already. */
  onPressed(listener: () => void): () => void {
    this.#pressedListeners.add(listener);
    return () => this.#pressedListeners.delete(listener);
  }

  /** Some threshold is crossed. */
  get isPressed(): boolean { return this.#crossedMs.size > 0; }

  /** Looks now: the thresholds that are crossed, for long enough where they are soft; those of memory first, as with kubelet, and hard ones before soft ones. */
  async pressures(signal: AbortSignal): Promise<readonly Pressure[]> {
    await this.#look(signal);
    const nowMs = this.#deps.clock.monotonic();
    const readings = this.#readings;
    return [...this.#crossedMs].filter(([{ graceMs }, sinceMs]) => nowMs - sinceMs >= graceMs).sort(([a], [b]) => Number(isMemory(b)) - Number(isMemory(a)) || a.graceMs - b.graceMs)
      .map(([{ signal: what, text, graceMs }]) => ({ signal: what, threshold: text, hard: graceMs === 0, available: (readings && amountsOf(readings, what)?.available) ?? 0, imagesApart: readings?.imageDisk !== undefined }));
  }

  /** Looks again at once: something that the status depends on changed. */
  poke(): void {
    this.#poked = true;
    this.#wakeup.notify();
  }

  async start(signal: AbortSignal): Promise<void> {
    let looksNotReady = 0;
    try {
      while (!signal.aborted) {
        const { checkIntervalMs } = this.#config;
        const ready = this.#report.status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true;
        looksNotReady = ready ? 0 : looksNotReady + 1;
        const delayMs = ready ? checkIntervalMs : backoffMs({ baseMs: 100, maxMs: checkIntervalMs, jitter: 0 }, looksNotReady, () => 0);
        if (!this.#poked) await this.#wakeup.waitAtMost(delayMs, this.#deps.clock, signal);
        // What was waited for has moved: the rest is likely to follow soon.
        if (this.#poked) looksNotReady = 0;
        await this.#look(signal);
      }
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { clock, host, log } = this.#deps;
    this.#poked = false;
    const runtime = await this.#runtimeNotReady(signal);
    if (runtime.length === 0) await this.#lookAtImages(signal);
    let readings;
    try {
      readings = await host.readings(this.#imageFolder);
    } catch (error) {
      // The last report stands: a host that cannot be read is not a host that changed.
      log.warn({ err: messageOf(error) }, 'host cannot be looked at');
      if (this.#report.status.conditions) return;
      throw error;
    }
    const others = this.#deps.notReady.map((reason) => reason()).filter((reason) => reason !== undefined);
    const previous = this.#report.status;
    this.#noteCrossed(readings);
    const csi = this.#deps.csi?.();
    const status = withVolumes(nodeStatus({
      ...(this.#config.thresholds && { thresholds: this.#config.thresholds }), ...(this.#config.reserved && { reserved: this.#config.reserved }),
      ...(this.#deps.devices && { devices: this.#deps.devices() }),
      pressed: new Set(this.#pressedMs.keys()), nodeName: this.#config.nodeName, version: this.#config.version, maxPods: this.#config.maxPods, identity: this.#identity, readings,
      containerRuntimeVersion: this.#runtimeVersion, ...(this.#runtimeSetup && { runtime: this.#runtimeSetup }), images: this.#images, notReady: [...runtime, ...others], nowMs: clock.now(),
    }, previous), csi);
    const annotations = this.#deps.annotations?.() ?? {};
    const report = {
      labels: { ...csi?.topology, ...this.#labels }, status, ...(Object.keys(annotations).length > 0 && { annotations }),
      ...(csi && csi.drivers.length + csi.gone.length > 0 && { csi: { drivers: csi.drivers, gone: csi.gone, ...(csi.expansions.length > 0 && { expansions: csi.expansions }) } }),
    };
    const rest = ({ status: _status, ...others }: NodeReport): string => JSON.stringify(others);
    if (sameStatus(status, previous) && rest(report) === rest(this.#report)) return;
    this.#report = report;
    for (const listener of this.#listeners) listener(this.#report);
  }

  #noteCrossed(readings: HostReadings): void {
    this.#readings = readings;
    const nowMs = this.#deps.clock.monotonic();
    const now = crossed(this.#config.thresholds ?? defaultThresholds, readings, (threshold) => this.#crossedMs.has(threshold));
    const isNew = now.length > 0 && this.#crossedMs.size === 0;
    this.#crossedMs = new Map(now.map((threshold) => [threshold, this.#crossedMs.get(threshold) ?? nowMs]));
    for (const { signal } of now) this.#pressedMs.set(signal, nowMs);
    for (const [signal, lastMs] of this.#pressedMs) if (lastMs < nowMs && nowMs - lastMs >= (this.#config.transitionMs ?? 0)) this.#pressedMs.delete(signal);
    if (isNew) for (const listener of this.#pressedListeners) listener();
  }

  async #runtimeNotReady(signal: AbortSignal): Promise<readonly string[]> {
    const { runtime } = this.#deps;
    const hangs = new AbortController();
    const cancel = this.#deps.clock.after(runtimeTimeoutMs, () => { hangs.abort(new StatusError('Timeout', `it has not answered within ${String(runtimeTimeoutMs / 1000)} s; check that it is not stuck, or restart it`)); });
    const bounded = AbortSignal.any([signal, hangs.signal]);
    try {
      const reasons = await runtime.notReady(bounded);
      // Asked again only after a failure: a runtime changes its version by restarting.
      if (!this.#runtimeSeen) {
        this.#runtimeVersion = await runtime.version(bounded);
        this.#runtimeSetup = await runtime.setup?.(bounded);
        this.#imageFolder = await runtime.imageFolder?.(bounded).catch(() => undefined);
      }
      this.#runtimeSeen = true;
      return reasons;
    } catch (error) {
      signal.throwIfAborted();
      this.#runtimeSeen = false;
      return [`the container runtime cannot be reached: ${messageOf(error)}`];
    } finally {
      cancel();
    }
  }

  async #lookAtImages(signal: AbortSignal): Promise<void> {
    const nowMs = this.#deps.clock.monotonic();
    if (nowMs - this.#imagesAtMs < imagesPeriodMs) return;
    this.#imagesAtMs = nowMs;
    try {
      this.#images = reportedImages(await this.#deps.runtime.listImages(AbortSignal.any([signal, AbortSignal.timeout(runtimeTimeoutMs)])));
    } catch (error) {
      // Pods run without it: what was known stands.
      signal.throwIfAborted();
      this.#deps.log.debug({ err: messageOf(error) }, 'images cannot be listed');
    }
  }
}

function withVolumes(status: NodeStatus, csi: DriverReport | undefined): NodeStatus {
  return csi && csi.volumesInUse.length > 0 ? { ...status, volumesInUse: [...csi.volumesInUse] } : status;
}

function labelsOf(config: NodeReporterConfig, identity: HostIdentity): Record<string, string> {
  return {
    ...config.labels,
    'kubernetes.io/hostname': config.nodeName,
    'kubernetes.io/os': 'linux',
    'kubernetes.io/arch': identity.architecture,
  };
}

function isMemory({ signal }: Threshold): boolean { return signal === 'memory.available'; }
