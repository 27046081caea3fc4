import type { Clock } from '#common/clock.ts';
import type { Container, RuntimeDriver } from '#agent/runtimes/types.ts';
import type { ContainerUsage, UsageReport } from '#agent/session/types.ts';
import { networkUsage } from './network-usage.ts';
import { podCgroup } from './spec/sandbox-config.ts';
import type { NodeFacts } from './types.ts';

type Sample = Awaited<ReturnType<RuntimeDriver['stats']>>;

type Reading = Sample extends ReadonlyMap<string, infer R> ? R : never;

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
  readonly #cgroupRoot: string;
  #last: { sample: Sample; atMs: number } | undefined;

  constructor(deps: UsageDeps, { cgroupRoot }: { readonly cgroupRoot: string }) {
    this.#deps = deps;
    this.#cgroupRoot = cgroupRoot;
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
    const networks = new Map(await Promise.all(sandboxes.filter((s) => s.state === 'ready' && s.ips.length > 0)
      .map(async (sandbox) => [sandbox.id, await networkUsage(podCgroup(this.#cgroupRoot, sandbox.podUid))] as const)));
    const running = containers.filter((c) => c.state === 'running' && second.sample.has(c.id));
    const { containerDetails } = await import('#agent/runtimes/cgroup-details.ts');
    const details = new Map(await Promise.all(running.map(async ({ id, podUid }) => [id, await containerDetails(podCgroup(this.#cgroupRoot, podUid), id)] as const)));
    const pods = sandboxes.filter((s) => s.state === 'ready').map((sandbox) => {
      const network = networks.get(sandbox.id);
      return {
        namespace: sandbox.podNamespace,
        name: sandbox.podName,
        uid: sandbox.podUid,
        ...(network && { network }),
        containers: running.filter((c) => c.sandboxId === sandbox.id).map((c) => ({ ...containerUsage(c, first.sample.get(c.id), second.sample.get(c.id), windowMs), details: details.get(c.id) ?? {} })),
      };
    });
    return { atMs: clock.now(), windowMs: Math.round(windowMs), node: await nodeUsage, pods };
  }
}

function containerUsage({ id, name, image, startedAtMs }: Container, before: Reading | undefined, after: Reading | undefined, windowMs: number): ContainerUsage {
  const nanos = before && after && after.cpuNanos > before.cpuNanos ? Number(after.cpuNanos - before.cpuNanos) : 0;
  return {
    id, name, image, startedAtMs, cpuMillis: Math.round(nanos / 1000 / windowMs), cpuSeconds: Number(after?.cpuNanos ?? 0) / 1e9, memoryBytes: after?.memoryBytes ?? 0,
    ...(after?.writable && { writableBytes: after.writable.bytes, writableInodes: after.writable.inodes }),
  };
}
