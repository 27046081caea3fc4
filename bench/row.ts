/** One measured figure. `peer` is what it is held against, measured in the same run. */
export interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What the ratio compares with, e.g. `raw synced LevelDB batches`, and its figure in the same unit. */
  readonly peer?: { readonly name: string; readonly value: number };
  /** The budget from the design, as a bound on `value` or on the ratio `value / peer`. */
  readonly budget?: { readonly at: 'most' | 'least'; readonly of: 'value' | 'ratio'; readonly bound: number };
  readonly note?: string;
}

export interface RunOptions {
  /** Shorter idle windows. What a short window cannot show is left without a budget. */
  readonly quick: boolean;
  /** The path of the executable that is shipped, made of the sources as they are when the first asks for it. */
  readonly executable: () => Promise<string>;
}

/** What every file in rows/ exports as `run`. A long one gives each row when it is measured. */
export type Run = (options: RunOptions) => Promise<Row[]> | AsyncIterable<Row>;

export function ratioOf(row: Row): number | undefined {
  return row.peer === undefined || row.peer.value === 0 ? undefined : row.value / row.peer.value;
}

/** True, false, or undefined when the row has no budget. */
export function withinBudget(row: Row): boolean | undefined {
  if (!row.budget) return undefined;
  const measured = row.budget.of === 'value' ? row.value : ratioOf(row);
  if (measured === undefined) return undefined;
  return row.budget.at === 'most' ? measured <= row.budget.bound : measured >= row.budget.bound;
}

export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

/** Nearest-rank percentile, `p` from 0 to 100. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((p / 100) * sorted.length) - 1)] ?? NaN;
}
