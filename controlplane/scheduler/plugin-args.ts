import { StatusError } from '#common/errors.ts';

export interface WeighedResource { readonly name: string; readonly weight: number }

/** One plugin's arguments from a profile's `pluginConfig`, read with the field's name in every complaint. */
export class PluginArgs {
  readonly #plugin: string;
  readonly #values: Readonly<Record<string, unknown>>;

  /** Without `known` names nothing may be given. */
  constructor(all: ReadonlyMap<string, unknown> | undefined, plugin: string, known: readonly string[]) {
    this.#plugin = plugin;
    const values = all?.get(plugin) ?? {};
    if (!isMap(values)) throw this.wrong('args', 'must be a map');
    this.#values = values;
    for (const key of Object.keys(values)) {
      if (!known.includes(key) && key !== 'apiVersion' && key !== 'kind') throw this.wrong(key, known.length === 0 ? 'is unknown' : `is unknown; there are ${known.join(', ')}`);
    }
  }

  integer(key: string, bounds: { readonly default: number; readonly min: number; readonly max?: number }): number {
    return this.checkInteger(key, this.#values[key] ?? bounds.default, bounds.min, bounds.max);
  }

  boolean(key: string, absent: boolean): boolean {
    const value = this.#values[key] ?? absent;
    if (typeof value !== 'boolean') throw this.wrong(key, 'must be true or false');
    return value;
  }

  choice<T extends string>(key: string, choices: readonly T[], absent: T): T {
    const value = this.#values[key] ?? absent;
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw this.wrong(key, `must be one of ${choices.join(', ')}`);
    return found;
  }

  map(key: string): Readonly<Record<string, unknown>> | undefined {
    const value = this.#values[key];
    if (value !== undefined && !isMap(value)) throw this.wrong(key, 'must be a map');
    return value;
  }

  list(key: string): readonly unknown[] | undefined {
    return this.checkList(key, this.#values[key]);
  }

  checkList(field: string, value: unknown): readonly unknown[] | undefined {
    if (value !== undefined && !Array.isArray(value)) throw this.wrong(field, 'must be a list');
    return value;
  }

  checkInteger(field: string, value: unknown, min: number, max = Number.MAX_SAFE_INTEGER): number {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
      throw this.wrong(field, max === Number.MAX_SAFE_INTEGER ? `must be a whole number, ${String(min)} at least` : `must be a whole number from ${String(min)} to ${String(max)}`);
    }
    return value;
  }

  /** Resources with their weights, `maxWeight` at most; none where none are given. */
  resources(field: string, value: unknown, maxWeight: number): readonly WeighedResource[] {
    return (this.checkList(field, value) ?? []).map((item, i) => {
      if (!isMap(item) || typeof item['name'] !== 'string' || item['name'] === '') throw this.wrong(`${field}[${String(i)}].name`, 'is required');
      return { name: item['name'], weight: this.checkInteger(`${field}[${String(i)}].weight`, item['weight'] ?? 1, 1, maxWeight) };
    });
  }

  wrong(field: string, why: string): StatusError {
    return new StatusError('Invalid', `scheduler configuration: pluginConfig of ${this.#plugin}: ${field} ${why}`);
  }
}

export function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
