/** Whether one character, by its code point, is of a class. */
export type Matcher = (point: number) => boolean;

export type Node =
  | { readonly kind: 'empty' }
  | { readonly kind: 'char'; readonly matches: Matcher }
  | { readonly kind: 'assert'; readonly what: 'text-start' | 'text-end' | 'line-start' | 'line-end' | 'boundary' | 'no-boundary' }
  | { readonly kind: 'all'; readonly parts: readonly Node[] }
  | { readonly kind: 'any'; readonly parts: readonly Node[] }
  | { readonly kind: 'repeat'; readonly part: Node; readonly min: number; readonly max: number; readonly greedy: boolean };

interface Flags { readonly i: boolean; readonly m: boolean; readonly s: boolean; readonly U: boolean }

const maxRepeat = 1000;
const maxNesting = 200;

const digit: Matcher = (c) => c >= 48 && c <= 57;
const word: Matcher = (c) => digit(c) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122) || c === 95;
const blank: Matcher = (c) => c === 32 || (c >= 9 && c <= 13 && c !== 11);
const not = (matcher: Matcher): Matcher => (c) => !matcher(c);
export const isWord = word;

const perl: Readonly<Record<string, Matcher>> = { d: digit, D: not(digit), w: word, W: not(word), s: blank, S: not(blank) };
const inRange = (from: number, to: number): Matcher => (c) => c >= from && c <= to;
const upper = inRange(65, 90);
const lower = inRange(97, 122);
const graph = inRange(33, 126);
const posix: Readonly<Record<string, Matcher>> = {
  alnum: (c) => digit(c) || upper(c) || lower(c), alpha: (c) => upper(c) || lower(c), ascii: inRange(0, 127), blank: (c) => c === 9 || c === 32, cntrl: (c) => c <= 31 || c === 127, digit,
  graph, lower, print: inRange(32, 126), punct: (c) => graph(c) && !digit(c) && !upper(c) && !lower(c), space: (c) => c === 32 || (c >= 9 && c <= 13), upper, word,
  xdigit: (c) => digit(c) || inRange(65, 70)(c) || inRange(97, 102)(c),
};
const controls: Readonly<Record<string, number>> = { a: 7, f: 12, t: 9, n: 10, r: 13, v: 11 };

/** Parses RE2's syntax. Source: https://github.com/google/re2/wiki/Syntax. Throws SyntaxError. */
export function parseRegex(pattern: string): Node {
  return new RegexParser(pattern).whole();
}

class RegexParser {
  readonly #chars: readonly string[];
  #at = 0;
  #nesting = 0;
  #flags: Flags = { i: false, m: false, s: false, U: false };

  constructor(pattern: string) {
    this.#chars = Array.from(pattern);
  }

  whole(): Node {
    const node = this.#alternatives();
    if (this.#at < this.#chars.length) throw this.#fail('unexpected )', ')');
    return node;
  }

  #fail(why: string, what: string): SyntaxError { return new SyntaxError(`error parsing regexp: ${why}: \`${what}\``); }
  get #peek(): string { return this.#chars[this.#at] ?? ''; }
  #rest(length: number): string { return this.#chars.slice(this.#at, this.#at + length).join(''); }

  #take(text: string): boolean {
    if (this.#rest(text.length) !== text) return false;
    this.#at += text.length;
    return true;
  }

  #alternatives(): Node {
    if (++this.#nesting > maxNesting) throw this.#fail('expression nests too deeply', this.#chars.join('').slice(0, 40));
    const outer = this.#flags;
    const parts = [this.#sequence()];
    while (this.#take('|')) parts.push(this.#sequence());
    this.#flags = outer;
    this.#nesting--;
    return parts.length === 1 ? parts[0] as Node : { kind: 'any', parts };
  }

  #sequence(): Node {
    const parts: Node[] = [];
    while (this.#at < this.#chars.length && this.#peek !== '|' && this.#peek !== ')') {
      if (this.#take('\\Q')) {
        while (this.#at < this.#chars.length && !this.#take('\\E')) parts.push(this.#literal(this.#next()));
        const last = parts.pop();
        if (last) parts.push(this.#repeated(last));
        continue;
      }
      parts.push(this.#repeated(this.#atom()));
    }
    return { kind: 'all', parts };
  }

  #next(): string {
    return this.#chars[this.#at++] ?? '';
  }

  #repeated(atom: Node): Node {
    let node = atom;
    for (let times = 0; ; times++) {
      const from = this.#at;
      const bounds = this.#bounds();
      if (!bounds) return node;
      if (times > 0) throw this.#fail('invalid nested repetition operator', this.#chars.slice(from - 1, this.#at).join(''));
      const lazy = this.#take('?');
      node = { kind: 'repeat', part: node, ...bounds, greedy: lazy === this.#flags.U };
    }
  }

  #bounds(): { min: number; max: number } | undefined {
    if (this.#take('*')) return { min: 0, max: Infinity };
    if (this.#take('+')) return { min: 1, max: Infinity };
    if (this.#take('?')) return { min: 0, max: 1 };
    const found = /^\{(\d{1,6})(?:(,)(\d{0,6}))?\}/.exec(this.#rest(18));
    if (!found) return undefined;
    this.#at += found[0].length;
    const min = Number(found[1]);
    const max = found[2] === undefined ? min : found[3] === '' ? Infinity : Number(found[3]);
    if (min > maxRepeat || (max !== Infinity && max > maxRepeat) || max < min) throw this.#fail('invalid repeat count', found[0]);
    return { min, max };
  }

  #atom(): Node {
    const char = this.#next();
    switch (char) {
      case '(': return this.#group();
      case '[': return this.#class();
      case '.': { const { s } = this.#flags; return { kind: 'char', matches: s ? () => true : (c) => c !== 10 }; }
      case '^': return { kind: 'assert', what: this.#flags.m ? 'line-start' : 'text-start' };
      case '$': return { kind: 'assert', what: this.#flags.m ? 'line-end' : 'text-end' };
      case '*': case '+': case '?': throw this.#fail('missing argument to repetition operator', char);
      case '\\': return this.#escape();
      default: return this.#literal(char);
    }
  }

  #literal(char: string): Node {
    return { kind: 'char', matches: this.#folded(exactly(char.codePointAt(0) ?? 0)) };
  }

  #folded(matcher: Matcher): Matcher {
    return this.#flags.i ? (c) => matcher(c) || otherCases(c).some(matcher) : matcher;
  }

  #group(): Node {
    if (!this.#take('?')) return this.#closed();
    const named = /^(?:P?<([^>]*)>)/.exec(this.#rest(200));
    if (named && !/^<[=!]/.test(this.#rest(2))) {
      if (!/^\w+$/.test(named[1] ?? '')) throw this.#fail('invalid named capture', `(?${named[0]}`);
      this.#at += named[0].length;
      return this.#closed();
    }
    const found = /^([imsU]*)(?:-([imsU]+))?([:)])/.exec(this.#rest(20));
    if (!found) throw this.#fail('invalid or unsupported Perl syntax', `(?${this.#rest(1)}`);
    this.#at += found[0].length;
    const outer = this.#flags;
    const flags = { ...outer };
    for (const flag of found[1] ?? '') flags[flag as keyof Flags] = true;
    for (const flag of found[2] ?? '') flags[flag as keyof Flags] = false;
    this.#flags = flags;
    // Without a colon they hold for the rest of the group that they stand in.
    if (found[3] === ')') return { kind: 'empty' };
    const node = this.#closed();
    this.#flags = outer;
    return node;
  }

  #closed(): Node {
    const node = this.#alternatives();
    if (!this.#take(')')) throw this.#fail('missing closing )', this.#chars.join('').slice(0, 100));
    return node;
  }

  #escape(): Node {
    const char = this.#peek;
    switch (char) {
      case 'A': this.#at++; return { kind: 'assert', what: 'text-start' };
      case 'z': this.#at++; return { kind: 'assert', what: 'text-end' };
      case 'b': this.#at++; return { kind: 'assert', what: 'boundary' };
      case 'B': this.#at++; return { kind: 'assert', what: 'no-boundary' };
      default: return { kind: 'char', matches: this.#folded(this.#escapedSet() ?? exactly(this.#escapedPoint())) };
    }
  }

  /** `\d`, `\pL`, `\p{Greek}`. */
  #escapedSet(): Matcher | undefined {
    const char = this.#peek;
    if (Object.hasOwn(perl, char)) {
      this.#at++;
      return perl[char];
    }
    const found = /^([pP])(?:\{(\^?)(\w+)\}|(\w))/.exec(this.#rest(40));
    if (!found) return undefined;
    const [whole, p, caret, long, short] = found;
    const name = long ?? short ?? '';
    let regex: RegExp | undefined;
    for (const form of [name, `Script=${name}`]) {
      try {
        regex ??= name === 'Any' ? /[^]/u : new RegExp(`\\p{${form}}`, 'u');
      } catch {
        // Tried as a script next.
      }
    }
    if (!regex) throw this.#fail('invalid character class range', `\\${whole}`);
    this.#at += whole.length;
    const matcher: Matcher = (c) => regex.test(String.fromCodePoint(c));
    return (p === 'P') !== (caret === '^') ? not(matcher) : matcher;
  }

  #escapedPoint(): number {
    const rest = this.#rest(12);
    const char = this.#next();
    if (char === '') throw this.#fail('trailing backslash at end of expression', '');
    const control = Object.hasOwn(controls, char) ? controls[char] : undefined;
    if (control !== undefined) return control;
    const hex = /^x(?:\{([0-9a-fA-F]{1,8})\}|([0-9a-fA-F]{2}))/.exec(rest);
    if (hex) {
      this.#at += hex[0].length - 1;
      const point = Number.parseInt(hex[1] ?? hex[2] ?? '0', 16);
      if (point > 0x10ffff) throw this.#fail('invalid escape sequence', `\\${hex[0]}`);
      return point;
    }
    const octal = /^(?:0[0-7]{0,2}|[1-7][0-7]{1,2})/.exec(rest);
    if (octal) {
      this.#at += octal[0].length - 1;
      return Number.parseInt(octal[0], 8);
    }
    if (/[A-Za-z0-9]/.test(char)) throw this.#fail('invalid escape sequence', `\\${char}`);
    return char.codePointAt(0) ?? 0;
  }

  #class(): Node {
    const start = this.#at;
    const negated = this.#take('^');
    const parts: Matcher[] = [];
    for (let first = true; first || this.#peek !== ']'; first = false) {
      if (this.#at >= this.#chars.length) throw this.#fail('missing closing ]', `[${this.#chars.slice(start).join('')}`);
      parts.push(this.#classPart(start));
    }
    this.#at++;
    const folded = this.#folded((c) => parts.some((part) => part(c)));
    return { kind: 'char', matches: negated ? not(folded) : folded };
  }

  #classPart(start: number): Matcher {
    const named = /^\[:(\^?)(\w+):\]/.exec(this.#rest(14));
    if (named) {
      const matcher = Object.hasOwn(posix, named[2] ?? '') ? posix[named[2] ?? ''] : undefined;
      if (!matcher) throw this.#fail('invalid character class range', named[0]);
      this.#at += named[0].length;
      return named[1] === '^' ? not(matcher) : matcher;
    }
    if (this.#take('\\')) {
      const set = this.#escapedSet();
      if (set) return set;
      this.#at--;
    }
    const from = this.#classPoint();
    if (this.#peek !== '-' || this.#chars[this.#at + 1] === ']' || this.#at + 1 >= this.#chars.length) return exactly(from);
    this.#at++;
    const to = this.#classPoint();
    if (to < from) throw this.#fail('invalid character class range', this.#chars.slice(start, this.#at).join(''));
    return inRange(from, to);
  }

  #classPoint(): number {
    return this.#take('\\') ? this.#escapedPoint() : this.#next().codePointAt(0) ?? 0;
  }
}

function exactly(point: number): Matcher {
  return (c) => c === point;
}

function otherCases(point: number): number[] {
  const char = String.fromCodePoint(point);
  return [char.toLowerCase(), char.toUpperCase()].filter((other) => other !== char && Array.from(other).length === 1).map((other) => other.codePointAt(0) ?? 0);
}
