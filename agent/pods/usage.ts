import type { Clock } from '#common/clock.ts';
import type { RuntimeDriver } from '#agent/runtimes/types.ts';
import type { UsageReport } from '#agent/session/types.ts';
import type { NodeFacts } from './types.ts';

type Sample = Awaited<ReturnType<RuntimeDriver['stats']>>;

export interface UsageDeps {
  readonly driver: RuntimeDriver;
  readonly clock: Clock;
  readonly node: NodeFacts;
}

const minWindowMs = 1000;
const maxWindowMs = 60_000;

/** CPU is a rate: two samples, taken only when somebody asks. An earlier asker's sample is used when it is fresh. */
export class UsageMeter {
  readonly #deps: UsageDeps;
  #last: { sample: Sample; atMs: number } | undefined;

  constructor(deps: UsageDeps) {
    this.#deps = deps;
  }

  async read(signal: AbortSignal): Promise<UsageReport> {
    const { clock, driver, node } = this.#deps;
    const nodeUsage = node.usage(signal);
    // Awaited below; a failure while sampling must not leave it unhandled.
    nodeUsage.catch(() => undefined);
    let first = this.#last;
    if (!first || clock.monotonic() - first.atMs > maxWindowMs || clock.monotonic() - first.atMs < minWindowMs) {
      first = { sample: await driver.stats(signal), atMs: clock.monotonic() };
      await clock.sleep(minWindowMs, signal);
    }
    const { containers, sandboxes } = await driver.list(signal);
    const second = { sample: await driver.stats(signal), atMs: clock.monotonic() };
    this.#last = second;
    const windowMs = second.atMs - first.atMs;
    const running = containers.filter((c) => c.state === 'running' && second.sample.has(c.id));
    const pods = sandboxes.filter((s) => s.state === 'ready').map((sandbox) => ({
      namespace: sandbox.podNamespace,
      name: sandbox.podName,
      uid: sandbox.podUid,
      containers: running.filter((c) => c.sandboxId === sandbox.id).map((c) => {
        const before = first.sample.get(c.id);
        const after = second.sample.get(c.id);
        const nanos = before && after && after.cpuNanos > before.cpuNanos ? Number(after.cpuNanos - before.cpuNanos) : 0;
        return { name: c.name, cpuMillis: Math.round(nanos / 1000 / windowMs), memoryBytes: after?.memoryBytes ?? 0 };
      }),
    }));
    return { atMs: clock.now(), windowMs: Math.round(windowMs), node: await nodeUsage, pods };
  }
}
