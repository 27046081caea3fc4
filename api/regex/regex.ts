/** A compiled regular expression in RE2's syntax. */
export interface Regex {
  /** Whether it matches anywhere in `text`. */
  test(text: string): boolean;
}

/** Throws SyntaxError. */
export function compileRegex(pattern: string): Regex {
  return new RegExp(pattern, 'u');
}
