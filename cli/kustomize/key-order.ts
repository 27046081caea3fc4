const letter = /\p{L}/u;
const digit = /\p{Nd}/u;

/** The order in which go-yaml writes keys: runs of digits count as numbers, and letters come after all else. */
export function compareKeys(left: string, right: string): number {
  const a = Array.from(left);
  const b = Array.from(right);
  for (let i = 0; i < a.length && i < b.length; i++) {
    const x = a[i] ?? '';
    const y = b[i] ?? '';
    if (x === y) continue;
    const letters = [letter.test(x), letter.test(y)] as const;
    if (letters[0] && letters[1]) return x < y ? -1 : 1;
    if (letters[0] || letters[1]) return letters[1] ? -1 : 1;
    // Zeros count for something when they are in the middle of a number.
    const inNumber = (x === '0' || y === '0') && /[1-9]\d*$/.test(a.slice(0, i).join(''));
    const runs = [digits(a, i), digits(b, i)] as const;
    const numbers = runs.map((run) => Number((inNumber ? '1' : '') + run || '0'));
    if (numbers[0] !== numbers[1]) return (numbers[0] ?? 0) - (numbers[1] ?? 0);
    if (runs[0].length !== runs[1].length) return runs[0].length - runs[1].length;
    return x < y ? -1 : 1;
  }
  return a.length - b.length;
}

function digits(characters: readonly string[], from: number): string {
  let end = from;
  while (end < characters.length && digit.test(characters[end] ?? '')) end++;
  return characters.slice(from, end).join('');
}
