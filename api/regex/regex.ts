/** A compiled regular expression in RE2's syntax. */
export interface Regex {
  /** Whether it matches anywhere in `text`. */
  test(text: string): boolean;
  /** The leftmost match; undefined when there is none. */
  find(text: string): string | undefined;
  /** Matches that do not overlap, in order; at most `limit` of them, all when that is negative. */
  findAll(text: string, limit: number): string[];
}

/** Throws SyntaxError. */
export function compileRegex(pattern: string): Regex {
  const one = new RegExp(pattern, 'u');
  return {
    test: (text) => one.test(text),
    find: (text) => one.exec(text)?.[0],
    findAll: (text, limit) => Array.from(text.matchAll(new RegExp(pattern, 'gu')), ([found]) => found).slice(0, limit < 0 ? undefined : limit),
  };
}
