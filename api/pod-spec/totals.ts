import type { Container, PodSpec } from '../gen/types.ts';
import { parseQuantity } from '../meta/quantity.ts';

export type Totals = Map<string, bigint>;
type Kind = 'requests' | 'limits';

function totalsOf(list: Readonly<Record<string, string>> | undefined): Totals {
  return new Map(Object.entries(list ?? {}).map(([name, quantity]) => [name, parseQuantity(quantity)]));
}

function add(into: Totals, from: Totals): void {
  for (const [name, value] of from) into.set(name, (into.get(name) ?? 0n) + value);
}

function raise(into: Totals, to: Totals): void {
  for (const [name, value] of to) if (value > (into.get(name) ?? -1n)) into.set(name, value);
}

function ofContainer({ resources }: Container, kind: Kind): Totals {
  return totalsOf(resources?.[kind]);
}

/**
 * What a pod asks for, or may use, at its greediest moment, in nano units: its containers and sidecars together, or an init
 * container beside the sidecars before it; or what it says for the whole pod; and its overhead.
 */
export function podTotals(spec: PodSpec, kind: Kind): Totals {
  const running: Totals = new Map();
  const sidecars: Totals = new Map();
  const starting: Totals = new Map();
  for (const container of spec.containers ?? []) add(running, ofContainer(container, kind));
  for (const container of spec.initContainers ?? []) {
    const own = ofContainer(container, kind);
    if (container.restartPolicy === 'Always') {
      add(running, own);
      add(sidecars, own);
      raise(starting, sidecars);
    } else {
      const peak = new Map(own);
      add(peak, sidecars);
      raise(starting, peak);
    }
  }
  raise(running, starting);
  for (const [name, value] of totalsOf(spec.resources?.[kind])) running.set(name, value);
  const overhead = totalsOf(spec.overhead);
  // A pod without a limit has none with overhead either.
  for (const [name, value] of overhead) if (kind === 'requests' || running.has(name)) running.set(name, (running.get(name) ?? 0n) + value);
  return running;
}
