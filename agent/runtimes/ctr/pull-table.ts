import type { PullProgress } from '../types.ts';

const units: Readonly<Record<string, number>> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };
const row = /(index|manifest|config|layer)-(sha256:[0-9a-f]{64}):\s+(\w+)\s+\|[^|]*\|(?:\s+([\d.]+) ?([KMG]?i?B)\/([\d.]+) ?([KMG]?i?B))?/;

export interface PullRow {
  /** What it is written to containerd by. */
  readonly ref: string;
  readonly digest: string;
  readonly isThere: boolean;
}

/** What `ctr images pull` draws while it works: a row for each part, `layer-sha256:…: downloading |++--| 1.0 MiB/3.2 MiB`. */
export class PullTable {
  readonly #layers = new Map<string, { doneBytes: number; totalBytes: number }>();
  readonly #states = new Map<string, boolean>();

  /** The part whose download has begun or ended by this line; undefined when no more is known by it. */
  read(line: string): PullRow | undefined {
    const [, kind, digest, status, done, doneUnit = '', total, totalUnit = ''] = row.exec(line) ?? [];
    if (kind === undefined || digest === undefined || !(status === 'downloading' || status === 'done' || status === 'exists')) return undefined;
    const ref = `${kind}-${digest}`;
    const isThere = status !== 'downloading';
    const known = this.#layers.get(ref);
    if (kind === 'layer' && total !== undefined) this.#layers.set(ref, { doneBytes: Math.round(Number(done) * (units[doneUnit] ?? 1)), totalBytes: Math.round(Number(total) * (units[totalUnit] ?? 1)) });
    else if (isThere && known) known.doneBytes = known.totalBytes;
    if (this.#states.get(ref) === isThere) return undefined;
    this.#states.set(ref, isThere);
    return { ref, digest, isThere };
  }

  sum(): PullProgress {
    const layers = [...this.#layers.values()];
    return { doneBytes: layers.reduce((all, { doneBytes }) => all + doneBytes, 0), totalBytes: layers.reduce((all, { totalBytes }) => all + totalBytes, 0) };
  }
}
