import type { PullProgress } from '../types.ts';

const units: Readonly<Record<string, number>> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };
const row = /(layer-sha256:[0-9a-f]{64}):\s+(\w+)\s+\|[^|]*\|(?:\s+([\d.]+) ?([KMG]?i?B)\/([\d.]+) ?([KMG]?i?B))?/;

/** What `ctr images pull` draws while it works: a row for each layer, `layer-sha256:…: downloading |++--| 1.0 MiB/3.2 MiB`. */
export class PullTable {
  readonly #layers = new Map<string, { doneBytes: number; totalBytes: number }>();

  /** True when the line told something new. */
  read(line: string): boolean {
    const [, ref, status, done, doneUnit = '', total, totalUnit = ''] = row.exec(line) ?? [];
    if (ref === undefined) return false;
    const known = this.#layers.get(ref);
    if (status === 'downloading' && total !== undefined) {
      this.#layers.set(ref, { doneBytes: Math.round(Number(done) * (units[doneUnit] ?? 1)), totalBytes: Math.round(Number(total) * (units[totalUnit] ?? 1)) });
      return true;
    }
    if (status !== 'done' || !known || known.doneBytes === known.totalBytes) return false;
    known.doneBytes = known.totalBytes;
    return true;
  }

  sum(): PullProgress {
    const layers = [...this.#layers.values()];
    return { doneBytes: layers.reduce((all, { doneBytes }) => all + doneBytes, 0), totalBytes: layers.reduce((all, { totalBytes }) => all + totalBytes, 0) };
  }
}
