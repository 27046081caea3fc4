/** Completion indexes as a Job's status writes them: `1,3-5,7`. What cannot be read is left out. */
export function parseIndexes(text: string | undefined, completions: number): Set<number> {
  const indexes = new Set<number>();
  for (const part of text ? text.split(',') : []) {
    const [, first = '', last = first] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part) ?? [];
    if (first === '') continue;
    for (let i = Number(first); i <= Math.min(Number(last), completions - 1); i++) indexes.add(i);
  }
  return indexes;
}

export function formatIndexes(indexes: Iterable<number>): string {
  const sorted = [...indexes].sort((a, b) => a - b);
  const parts: string[] = [];
  for (let i = 0; i < sorted.length;) {
    let end = i;
    while (sorted[end + 1] === (sorted[end] ?? 0) + 1) end += 1;
    parts.push(end === i ? String(sorted[i]) : `${String(sorted[i])}${end === i + 1 ? ',' : '-'}${String(sorted[end])}`);
    i = end + 1;
  }
  return parts.join(',');
}

/** The lowest `count` indexes below `completions` that are not in any of `taken`. */
export function freeIndexes(count: number, completions: number, ...taken: readonly ReadonlySet<number>[]): number[] {
  const free: number[] = [];
  for (let i = 0; i < completions && free.length < count; i++) if (!taken.some((set) => set.has(i))) free.push(i);
  return free;
}
