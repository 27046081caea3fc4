import { parseDurationMs } from '#common/config.ts';
import { formatQuantity, isQuantity, parseQuantity } from '#api/meta/quantity.ts';
import { StatusError } from '#common/errors.ts';
import { defaultThresholds, parseReclaims, parseThresholds, type EvictionSignal, type Threshold } from './thresholds.ts';

/** What an operator says of evictions and of what the system needs for itself, as flags have it. */
export interface PolicyFlags {
  readonly evictionHard: string;
  readonly evictionSoft: string;
  readonly evictionSoftGracePeriod: string;
  readonly evictionMinimumReclaim: string;
  readonly systemReserved: string;
  readonly kubeReserved: string;
}

export interface NodePolicy {
  readonly thresholds: readonly Threshold[];
  readonly reserved: Readonly<Record<string, string>>;
}

const reservable = ['cpu', 'memory', 'ephemeral-storage', 'pid'];

/** Throws a sentence where a flag cannot be understood. */
export function nodePolicy(flags: PolicyFlags): NodePolicy {
  const graces = new Map([...pairs(flags.evictionSoftGracePeriod)].map(([signal, duration]) => [signal, parseDurationMs(duration)]));
  const reclaims = parseReclaims(flags.evictionMinimumReclaim);
  const reclaimOf = (signal: EvictionSignal): Pick<Threshold, 'reclaim'> => {
    const reclaim = reclaims.get(signal);
    return reclaim ? { reclaim } : {};
  };
  const thresholds = [...flags.evictionHard === '' ? defaultThresholds : parseThresholds(flags.evictionHard), ...parseThresholds(flags.evictionSoft, graces)];
  return {
    thresholds: thresholds.map((threshold) => ({ ...threshold, ...reclaimOf(threshold.signal) })),
    reserved: sum(pairs(flags.systemReserved), pairs(flags.kubeReserved)),
  };
}

/** What is kept for the system and for Kubernetes is kept from the same. */
function sum(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): Record<string, string> {
  return Object.fromEntries([...new Set([...a.keys(), ...b.keys()])].map((name) => {
    const [one, other] = [a.get(name), b.get(name)];
    return [name, one === undefined || other === undefined ? one ?? other ?? '0' : formatQuantity(parseQuantity(one) + parseQuantity(other))];
  }));
}

/** Pods of the system have at least this: system-cluster-critical and system-node-critical are above. */
export const criticalPriority = 2_000_000_000;

/** Pods of at least this priority, and below the next group's, have this long to end. */
export interface ShutdownGroup { readonly priority: number; readonly graceMs: number }

/** `0=10s,1000=20s`, the lowest first. Throws a sentence. */
export function parseShutdownGroups(text: string): ShutdownGroup[] {
  const groups = [...pairs(text)].map(([priority, duration]) => {
    if (!/^-?\d{1,10}$/.test(priority)) throw new Error(`${JSON.stringify(priority)} is no priority; expected PRIORITY=DURATION such as 1000=20s`);
    return { priority: Number(priority), graceMs: parseDurationMs(duration) };
  });
  return groups.sort((a, b) => a.priority - b.priority);
}

export interface ShutdownFlags { readonly shutdownGraceMs: number; readonly shutdownCriticalGraceMs: number; readonly shutdownGraceByPriority: string }

/** Who ends when the host goes down, in which order and in how long; nobody where nothing is said. The two short flags stand for two groups, as with kubelet. */
export function shutdownGroups({ shutdownGraceMs, shutdownCriticalGraceMs, shutdownGraceByPriority }: ShutdownFlags): ShutdownGroup[] {
  if (shutdownGraceByPriority !== '') {
    if (shutdownGraceMs > 0) throw new StatusError('Invalid', '--shutdown-grace-period and --shutdown-grace-period-by-pod-priority cannot both be given; the second says all that the first does');
    return parseShutdownGroups(shutdownGraceByPriority);
  }
  return shutdownGraceMs === 0 ? [] : [{ priority: 0, graceMs: Math.max(0, shutdownGraceMs - shutdownCriticalGraceMs) }, { priority: criticalPriority, graceMs: shutdownCriticalGraceMs }];
}

/** Why the value of a flag is no list of `NAME=AMOUNT`; undefined when it is one. */
export function reservedProblem(value: string): string | undefined {
  const wrong = [...pairs(value)].find(([name, amount]) => !reservable.includes(name) || !isQuantity(amount));
  return wrong && `expected amounts of ${reservable.join(', ')} such as cpu=200m,memory=256Mi`;
}

/** Why the value of a flag cannot be parsed; undefined when it can. */
export function problemOf(parse: () => unknown): string | undefined {
  try {
    parse();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function pairs(text: string): Map<string, string> {
  return new Map(text.split(',').filter(Boolean).map((part) => {
    const at = part.indexOf('=');
    return [part.slice(0, Math.max(0, at)).trim(), part.slice(at + 1).trim()] as const;
  }));
}
