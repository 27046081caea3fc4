import { parseDurationMs } from '#common/config.ts';
import { isQuantity } from '#api/meta/quantity.ts';
import { defaultThresholds, parseThresholds, type Threshold } from './thresholds.ts';

/** What an operator says of evictions and of what the system needs for itself, as flags have it. */
export interface PolicyFlags {
  readonly evictionHard: string;
  readonly evictionSoft: string;
  readonly evictionSoftGracePeriod: string;
  readonly systemReserved: string;
}

export interface NodePolicy {
  readonly thresholds: readonly Threshold[];
  readonly reserved: Readonly<Record<string, string>>;
}

const reservable = ['cpu', 'memory', 'ephemeral-storage'];

/** Throws a sentence where a flag cannot be understood. */
export function nodePolicy(flags: PolicyFlags): NodePolicy {
  const graces = new Map([...pairs(flags.evictionSoftGracePeriod)].map(([signal, duration]) => [signal, parseDurationMs(duration)]));
  return {
    thresholds: [...flags.evictionHard === '' ? defaultThresholds : parseThresholds(flags.evictionHard), ...parseThresholds(flags.evictionSoft, graces)],
    reserved: Object.fromEntries(pairs(flags.systemReserved)),
  };
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
