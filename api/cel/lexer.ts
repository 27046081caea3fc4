import { CelCompileError } from './errors.ts';

export interface Token {
  readonly kind: 'ident' | 'int' | 'uint' | 'double' | 'string' | 'bytes' | 'op' | 'end';
  /** As written; of strings what they say. */
  readonly text: string;
  readonly at: number;
  readonly bytes?: Uint8Array;
}

const space = /[\s]+|\/\/[^\n]*/y;
const word = /[_a-zA-Z][_a-zA-Z0-9]*/y;
const quotedWord = /`([a-zA-Z0-9_.\-/ ]+)`/y;
const number = /0x[0-9a-fA-F]+[uU]?|\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?|\d+[uU]?/y;
const operator = /\[\?|\{\?|\.\?|&&|\|\||==|!=|<=|>=|[-+*/%!<>?:.,()[\]{}=]/y;
const stringStart = /([rR]?[bB]?|[bB][rR])("""|'''|"|')/y;

/** Splits an expression into tokens; the last is `end`. Throws CelCompileError. */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  const match = (regex: RegExp): RegExpExecArray | null => {
    regex.lastIndex = at;
    return regex.exec(text);
  };
  for (;;) {
    for (let blank = match(space); blank; blank = match(space)) at += blank[0].length;
    if (at >= text.length) break;
    const start = match(stringStart);
    if (start) {
      const { token, end } = readString(text, at, start[1] ?? '', start[2] ?? '"');
      tokens.push(token);
      at = end;
      continue;
    }
    const found = match(word) ?? match(quotedWord) ?? match(number) ?? match(operator);
    if (!found) throw new CelCompileError(text, [{ at, message: `Syntax error: token recognition error at: '${text[at] ?? ''}'` }]);
    const [whole] = found;
    tokens.push(/^[_a-zA-Z]/.test(whole) ? { kind: 'ident', text: whole, at } : whole.startsWith('`') ? { kind: 'ident', text: found[1] ?? '', at } : /^\.?\d/.test(whole) ? numberToken(whole, at) : { kind: 'op', text: whole, at });
    at += whole.length;
  }
  tokens.push({ kind: 'end', text: '<EOF>', at: text.length });
  return tokens;
}

function numberToken(text: string, at: number): Token {
  const isHex = /^0x/i.test(text);
  if (/[uU]$/.test(text)) return { kind: 'uint', text: text.slice(0, -1), at };
  return { kind: !isHex && /[.eE]/.test(text) ? 'double' : 'int', text, at };
}

function readString(text: string, from: number, prefix: string, quote: string): { token: Token; end: number } {
  const isRaw = /r/i.test(prefix);
  const isBytes = /b/i.test(prefix);
  const fail = (at: number, message: string): CelCompileError => new CelCompileError(text, [{ at, message: `Syntax error: ${message}` }]);
  const parts: number[] = [];
  let value = '';
  let at = from + prefix.length + quote.length;
  const add = (piece: string): void => {
    if (isBytes) parts.push(...Buffer.from(piece));
    else value += piece;
  };
  while (!text.startsWith(quote, at)) {
    const char = text[at];
    if (char === undefined || (quote.length === 1 && (char === '\n' || char === '\r'))) throw fail(from, `token recognition error at: '${text.slice(from, at)}'`);
    if (char === '\\' && !isRaw) {
      const escape = readEscape(text, at, isBytes);
      if (!escape) throw fail(at, `token recognition error at: '${text.slice(from, at + 2)}'`);
      if (typeof escape.value === 'number') parts.push(escape.value);
      else add(escape.value);
      at = escape.end;
    } else if (char === '\\') {
      add(text.slice(at, at + 2));
      at += 2;
    } else {
      const point = String.fromCodePoint(text.codePointAt(at) ?? 0);
      add(point);
      at += point.length;
    }
  }
  const end = at + quote.length;
  return { end, token: isBytes ? { kind: 'bytes', text: '', bytes: Uint8Array.from(parts), at: from } : { kind: 'string', text: value, at: from } };
}

const simpleEscapes: Readonly<Record<string, string>> = { a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v', '\\': '\\', '?': '?', '"': '"', "'": "'", '`': '`' };

/** A number is one byte of a bytes literal. */
function readEscape(text: string, at: number, isBytes: boolean): { value: string | number; end: number } | undefined {
  const char = text[at + 1] ?? '';
  const simple = Object.hasOwn(simpleEscapes, char) ? simpleEscapes[char] : undefined;
  if (simple !== undefined) return { value: simple, end: at + 2 };
  const coded = /^(?:[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2}))/.exec(text.slice(at + 1, at + 10));
  if (!coded) return undefined;
  const [whole, byte, short, long, octal] = coded;
  const code = octal === undefined ? Number.parseInt(byte ?? short ?? long ?? '', 16) : Number.parseInt(octal, 8);
  if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) || (isBytes && (short ?? long) !== undefined)) return undefined;
  return { value: isBytes ? code : String.fromCodePoint(code), end: at + 1 + whole.length };
}
