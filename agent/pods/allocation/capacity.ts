import type { Pod } from '#api/gen/types.ts';
import { parseQuantity } from '#api/meta/quantity.ts';
import { podTotals, type Totals } from '#api/pod-spec/totals.ts';
import { containersOf, initContainersOf } from '../spec/containers.ts';
import type { Rejection } from '../spec/admission.ts';

/** Why a pod cannot have now what was asked for it while it runs: as in its condition PodResizePending. */
export interface ResizeRefusal { readonly reason: 'Deferred' | 'Infeasible'; readonly message: string }

const nobody: ReadonlySet<string> = new Set();

interface Share { readonly totals: Totals; readonly hostPorts: readonly string[] }

/**
 * What pods have been given of this node. The scheduler keeps such books too, but pods can be bound by others, and two
 * changes can cross: the node has the last word. Quantities in nano units, as `podTotals` has them.
 */
export class NodeCapacity {
  readonly #allocatable: () => Readonly<Record<string, string>>;
  readonly #freed: () => void;
  readonly #shares = new Map<string, Share>();

  /** `freed` is called when there may be room that there was not before. */
  constructor(allocatable: () => Readonly<Record<string, string>>, freed: () => void) {
    this.#allocatable = allocatable;
    this.#freed = freed;
  }

  /** Notes what a pod has that is there already: whether it should be is no longer in question. */
  adopt(pod: Pod): void {
    const uid = uidOf(pod);
    const before = this.#shares.get(uid);
    this.#shares.set(uid, shareOf(pod));
    if (before) this.#freed();
  }

  /** Undefined when the pod has what it asks for from now on. In kubelet's words otherwise. */
  admit(pod: Pod): Rejection | undefined {
    if (this.#shares.has(uidOf(pod))) return undefined;
    const share = shareOf(pod);
    const short = this.#shortage(share, pod);
    if (short) return { reason: `OutOf${short.name}`, message: short.message };
    const taken = new Set([...this.#shares.values()].flatMap(({ hostPorts }) => hostPorts));
    if (share.hostPorts.some((port) => conflicts(port, taken))) return { reason: 'NodePorts', message: "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports" };
    this.#shares.set(uidOf(pod), share);
    return undefined;
  }

  /** Whether there would be enough for a pod if others were gone. */
  fits(pod: Pod, without: ReadonlySet<string>): boolean {
    return !this.#shortage(shareOf(pod), pod, without);
  }

  /** Undefined when the pod, which has something already, has what it asks for now instead. */
  resize(pod: Pod): ResizeRefusal | undefined {
    const share = shareOf(pod);
    const allocatable = this.#allocatable();
    for (const name of ['memory', 'cpu']) {
      const [requested, capacity] = [share.totals.get(name) ?? 0n, parseQuantity(allocatable[name] ?? '0')];
      if (requested > capacity) return { reason: 'Infeasible', message: `Node didn't have enough capacity: ${name}, requested: ${printed(name, requested)}, capacity: ${printed(name, capacity)}` };
    }
    const short = this.#shortage(share, pod);
    if (short) return { reason: 'Deferred', message: short.message };
    this.adopt(pod);
    return undefined;
  }

  release(uid: string): void {
    if (this.#shares.delete(uid)) this.#freed();
  }

  #shortage({ totals }: Share, pod: Pod, without: ReadonlySet<string> = nobody): { readonly name: string; readonly message: string } | undefined {
    const others = [...this.#shares].filter(([uid]) => uid !== uidOf(pod) && !without.has(uid)).map(([, share]) => share.totals);
    const demand = new Map([['pods', 1_000_000_000n], ...totals]);
    // What the node does not know of is for whoever put it into the request.
    for (const [name, text] of Object.entries(this.#allocatable())) {
      const [requested, capacity] = [demand.get(name) ?? 0n, parseQuantity(text)];
      const used = name === 'pods' ? BigInt(others.length) * 1_000_000_000n : others.reduce((sum, totals) => sum + (totals.get(name) ?? 0n), 0n);
      if (requested > 0n && used + requested > capacity) {
        return { name, message: `Node didn't have enough resource: ${name}, requested: ${printed(name, requested)}, used: ${printed(name, used)}, capacity: ${printed(name, capacity)}` };
      }
    }
    return undefined;
  }
}

function uidOf({ metadata }: Pod): string {
  return metadata?.uid ?? '';
}

function shareOf(pod: Pod): Share {
  const ports = [...initContainersOf(pod), ...containersOf(pod)].flatMap((container) => container.ports ?? []).filter(({ hostPort }) => (hostPort ?? 0) > 0);
  return {
    totals: pod.spec ? podTotals(pod.spec, 'requests') : new Map(),
    hostPorts: ports.map(({ protocol = 'TCP', hostIP = '', hostPort = 0 }) => `${protocol} ${String(hostPort)} ${hostIP || '0.0.0.0'}`),
  };
}

/** An address conflicts with itself and with all addresses. */
function conflicts(port: string, taken: ReadonlySet<string>): boolean {
  const [protocol = '', number = '', ip = ''] = port.split(' ');
  const prefix = `${protocol} ${number} `;
  return ip === '0.0.0.0' ? [...taken].some((other) => other.startsWith(prefix)) : taken.has(port) || taken.has(`${prefix}0.0.0.0`);
}

/** Thousandths of cores; other things as they are counted. */
function printed(name: string, nanos: bigint): string {
  return String(nanos / (name === 'cpu' ? 1_000_000n : 1_000_000_000n));
}
