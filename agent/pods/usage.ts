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

export interface UsageConfig { readonly cgroupRoot: string; readonly stateDir: string }

const minWindowMs = 1000;
const maxWindowMs = 60_000;

/** CPU is a rate: two samples, taken only when somebody asks. An earlier asker's sample is used when it is fresh. */
export class UsageMeter {
  readonly #deps: UsageDeps;
  readonly #config: UsageConfig;
  #last: { sample: Sample; atMs: number } | undefined;

  constructor(deps: UsageDeps, config: UsageConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** `cgroups`: see `UsageParts`. */
  async read(signal: AbortSignal, cgroups = false): Promise<UsageReport> {
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
      .map(async (sandbox) => [sandbox.id, await networkUsage(podCgroup(this.#config.cgroupRoot, sandbox.podUid))] as const)));
    const running = containers.filter((c) => c.state === 'running' && second.sample.has(c.id));
    const pods = sandboxes.filter((s) => s.state === 'ready').map((sandbox) => {
      const network = networks.get(sandbox.id);
      return {
        namespace: sandbox.podNamespace,
        name: sandbox.podName,
        uid: sandbox.podUid,
        startedAtMs: sandbox.createdAtMs,
        ...(network && { network }),
        containers: running.filter((c) => c.sandboxId === sandbox.id).map((c) => containerUsage(c, first.sample.get(c.id), second.sample.get(c.id), windowMs)),
      };
    });
    const { withCgroups } = await import('./cgroup-usage.ts');
    return withCgroups({ atMs: clock.now(), windowMs: Math.round(windowMs), node: await nodeUsage, pods }, cgroups, { driver, ...this.#config }, signal);
  }
}

function containerUsage({ id, name, image, startedAtMs }: Container, before: Reading | undefined, after: Reading | undefined, windowMs: number): ContainerUsage {
  const nanos = before && after && after.cpuNanos > before.cpuNanos ? Number(after.cpuNanos - before.cpuNanos) : 0;
  return {
    id, name, image, startedAtMs, cpuMillis: Math.round(nanos / 1000 / windowMs), cpuSeconds: Number(after?.cpuNanos ?? 0) / 1e9, memoryBytes: after?.memoryBytes ?? 0,
    ...(after?.writable && { writableBytes: after.writable.bytes, writableInodes: after.writable.inodes }),
  };
}
