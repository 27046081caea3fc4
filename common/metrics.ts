/**
 * Numbers about this process in Prometheus' text form. Parts count in memory; text is made when somebody asks.
 * Source: https://prometheus.io/docs/instrumenting/exposition_formats/
 */
export interface Family {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram' | 'summary';
  readonly help: string;
  readonly samples: Iterable<Sample>;
}

export interface Sample {
  /** After the family's name: `_bucket`, `_sum`, `_count`; usually empty. */
  readonly suffix?: string;
  readonly labels?: Labels;
  readonly value: number;
}

export type Labels = Readonly<Record<string, string | number>>;
export type Collector = () => Iterable<Family>;

/** Everything that is counted somewhere. One per program, handed to its parts. */
export class Metrics {
  readonly #collectors: Collector[] = [];

  add(collector: Collector): void {
    this.#collectors.push(collector);
  }

  text(): string {
    const lines: string[] = [];
    for (const collect of this.#collectors) {
      for (const { name, type, help, samples } of collect()) {
        lines.push(`# HELP ${name} ${help.replaceAll('\\', String.raw`\\`).replaceAll('\n', String.raw`\n`)}`, `# TYPE ${name} ${type}`);
        for (const { suffix = '', labels, value } of samples) lines.push(`${name}${suffix}${printLabels(labels)} ${printNumber(value)}`);
      }
    }
    return `${lines.join('\n')}\n`;
  }
}

function printLabels(labels: Labels | undefined): string {
  const pairs = Object.entries(labels ?? {}).map(([name, value]) => `${name}="${escapeLabel(String(value))}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', String.raw`\\`).replaceAll('"', String.raw`\"`).replaceAll('\n', String.raw`\n`);
}

function printNumber(value: number): string {
  return value === Infinity ? '+Inf' : value === -Infinity ? '-Inf' : String(value);
}

/** Labels come from requests: beyond so many series the others are counted together. */
const maxSeries = 1000;
const others = '\0others';

/** Series of one family by the values of its labels. */
class Series<T> {
  readonly #names: readonly string[];
  readonly #series = new Map<string, T>();

  constructor(names: readonly string[]) {
    this.#names = names;
  }

  of(values: readonly string[], make: () => T): T {
    const wanted = values.join('\0');
    const key = this.#series.has(wanted) || this.#series.size < maxSeries ? wanted : others;
    let series = this.#series.get(key);
    if (series === undefined) this.#series.set(key, series = make());
    return series;
  }

  * entries(): Iterable<readonly [Labels, T]> {
    for (const [key, series] of this.#series) {
      const values = key === others ? [] : key.split('\0');
      yield [Object.fromEntries(this.#names.map((name, i) => [name, values[i] ?? 'other'])), series];
    }
  }
}

/** Only grows. */
export class Counter {
  readonly #about: Omit<Family, 'samples' | 'type'>;
  readonly #series: Series<{ value: number }>;

  constructor(name: string, help: string, labels: readonly string[] = []) {
    this.#about = { name, help };
    this.#series = new Series(labels);
  }

  add(labels: readonly string[], by = 1): void {
    this.#series.of(labels, () => ({ value: 0 })).value += by;
  }

  * collect(): Iterable<Family> {
    yield { ...this.#about, type: 'counter', samples: [...this.#series.entries()].map(([labels, { value }]) => ({ labels, value })) };
  }
}

interface Buckets { readonly counts: Uint32Array; sum: number }

/** How often a measure was at most each of some bounds. */
export class Histogram {
  readonly #about: Omit<Family, 'samples' | 'type'>;
  readonly #series: Series<Buckets>;
  readonly #bounds: readonly number[];

  constructor(name: string, help: string, labels: readonly string[], bounds: readonly number[]) {
    this.#about = { name, help };
    this.#series = new Series(labels);
    this.#bounds = bounds;
  }

  observe(labels: readonly string[], value: number): void {
    const series = this.#series.of(labels, () => ({ counts: new Uint32Array(this.#bounds.length + 1), sum: 0 }));
    const found = this.#bounds.findIndex((bound) => value <= bound);
    const at = found < 0 ? this.#bounds.length : found;
    series.counts[at] = (series.counts[at] ?? 0) + 1;
    series.sum += value;
  }

  * collect(): Iterable<Family> {
    yield { ...this.#about, type: 'histogram', samples: [...this.#series.entries()].flatMap(([labels, series]) => this.#samples(labels, series)) };
  }

  #samples(labels: Labels, { counts, sum }: Buckets): Sample[] {
    let total = 0;
    const buckets = [...this.#bounds, Infinity].map((bound, i) => ({ suffix: '_bucket', labels: { ...labels, le: printNumber(bound) }, value: total += counts[i] ?? 0 }));
    return [...buckets, { suffix: '_sum', labels, value: sum }, { suffix: '_count', labels, value: total }];
  }
}

export function gauge(name: string, help: string, samples: Iterable<Sample>): Family {
  return { name, type: 'gauge', help, samples };
}

export function counter(name: string, help: string, samples: Iterable<Sample>): Family {
  return { name, type: 'counter', help, samples };
}
