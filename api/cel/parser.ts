import type { Expr } from './ast.ts';
import { CelCompileError } from './errors.ts';
import { tokenize, type Token } from './lexer.ts';
import { expandMacro } from './macros.ts';
import { Uint, type Value } from './values.ts';

/** Nested deeper than any honest expression; keeps recursion far from the end of the stack. */
const maxNesting = 100;
/** More than this in characters no rule may have. */
const maxLength = 100_000;

const reserved = new Set(['as', 'break', 'const', 'continue', 'else', 'for', 'function', 'if', 'import', 'let', 'loop', 'package', 'namespace', 'return', 'var', 'void', 'while']);
const relations: Readonly<Record<string, string>> = { '<': '_<_', '<=': '_<=_', '>': '_>_', '>=': '_>=_', '==': '_==_', '!=': '_!=_', in: '@in' };

/** Parses an expression, macros expanded. Throws CelCompileError. */
export function parse(text: string): Expr {
  if (text.length > maxLength) throw new CelCompileError(text.slice(0, 100), [{ at: 0, message: `expression code point size exceeds limit: size: ${text.length}, limit ${maxLength}` }]);
  return new Parser(text).whole();
}

class Parser {
  readonly #text: string;
  readonly #tokens: readonly Token[];
  #next = 0;
  #nesting = 0;

  constructor(text: string) {
    this.#text = text;
    this.#tokens = tokenize(text);
  }

  whole(): Expr {
    const expr = this.#expression();
    if (this.#peek.kind !== 'end') throw this.#unexpected('<EOF>');
    return expr;
  }

  get #peek(): Token { return this.#tokens[this.#next] ?? { kind: 'end', text: '<EOF>', at: this.#text.length }; }

  #take(): Token {
    const token = this.#peek;
    this.#next++;
    return token;
  }

  #is(...texts: readonly string[]): boolean {
    const { kind, text } = this.#peek;
    return (kind === 'op' || (kind === 'ident' && text === 'in')) && texts.includes(text);
  }

  #accept(text: string): Token | undefined {
    return this.#is(text) ? this.#take() : undefined;
  }

  #expect(text: string): Token {
    const token = this.#accept(text);
    if (!token) throw this.#unexpected(`'${text}'`);
    return token;
  }

  #unexpected(wanted?: string): CelCompileError {
    const { text, at } = this.#peek;
    return this.#fail(at, `Syntax error: mismatched input '${text}'${wanted === undefined ? '' : ` expecting ${wanted}`}`);
  }

  #fail(at: number, message: string): CelCompileError { return new CelCompileError(this.#text, [{ at, message }]); }

  #expression(): Expr {
    if (++this.#nesting > maxNesting) throw this.#fail(this.#peek.at, `expression recursion limit exceeded: ${maxNesting}`);
    const condition = this.#logical('||', '_||_', () => this.#logical('&&', '_&&_', () => this.#relation()));
    const question = this.#accept('?');
    if (!question) {
      this.#nesting--;
      return condition;
    }
    const yes = this.#logical('||', '_||_', () => this.#logical('&&', '_&&_', () => this.#relation()));
    this.#expect(':');
    const no = this.#expression();
    this.#nesting--;
    return call(question.at, '_?_:_', [condition, yes, no]);
  }

  /** Balanced, so that a long chain nests little. */
  #logical(operator: string, name: string, part: () => Expr): Expr {
    const parts = [part()];
    const ats: number[] = [];
    for (let token = this.#accept(operator); token; token = this.#accept(operator)) {
      ats.push(token.at);
      parts.push(part());
    }
    const build = (from: number, to: number): Expr => {
      if (from === to) return parts[from] as Expr;
      const middle = (from + to) >> 1;
      return call(ats[middle] ?? 0, name, [build(from, middle), build(middle + 1, to)]);
    };
    return build(0, parts.length - 1);
  }

  #relation(): Expr {
    let left = this.#sum();
    while (this.#is('<', '<=', '>', '>=', '==', '!=', 'in')) {
      const { text, at } = this.#take();
      left = call(at, relations[text] ?? text, [left, this.#sum()]);
    }
    return left;
  }

  #sum(): Expr {
    let left = this.#product();
    while (this.#is('+', '-')) {
      const { text, at } = this.#take();
      left = call(at, `_${text}_`, [left, this.#product()]);
    }
    return left;
  }

  #product(): Expr {
    let left = this.#unary();
    while (this.#is('*', '/', '%')) {
      const { text, at } = this.#take();
      left = call(at, `_${text}_`, [left, this.#unary()]);
    }
    return left;
  }

  #unary(): Expr {
    const operator = this.#accept('!') ?? this.#accept('-');
    if (!operator) return this.#member();
    const { text, at } = operator;
    let times = 1;
    let last = at;
    for (let next = this.#accept(text); next; next = this.#accept(text)) {
      times++;
      last = next.at;
    }
    const number = this.#peek;
    if (text === '-' && times % 2 === 1 && (number.kind === 'int' || number.kind === 'double') && number.at === last + 1) {
      this.#take();
      return this.#members(literal(at, this.#number({ ...number, text: `-${number.text}` })));
    }
    const operand = this.#member();
    return times % 2 === 0 ? operand : call(at, `${text}_`, [operand]);
  }

  #member(): Expr {
    return this.#members(this.#primary());
  }

  #members(start: Expr): Expr {
    let expr = start;
    for (let length = 0; ; length++) {
      if (length > 4 * maxNesting) throw this.#fail(this.#peek.at, `expression recursion limit exceeded: ${maxNesting}`);
      const dot = this.#accept('.') ?? this.#accept('.?');
      if (dot) expr = this.#select(expr, dot);
      else if (this.#is('[', '[?')) {
        const { text, at } = this.#take();
        const index = this.#expression();
        this.#expect(']');
        expr = call(at, text === '[' ? '_[_]' : '_[?_]', [expr, index]);
      } else return expr;
    }
  }

  #select(operand: Expr, dot: Token): Expr {
    const name = this.#take();
    if (name.kind !== 'ident') {
      this.#next--;
      throw this.#unexpected('IDENTIFIER');
    }
    if (dot.text === '.?') return { kind: 'select', at: dot.at, operand, field: name.text, form: 'optional' };
    const open = this.#accept('(');
    if (!open) return { kind: 'select', at: dot.at, operand, field: name.text, form: 'plain' };
    return this.#call(open.at, name.text, operand);
  }

  #call(at: number, name: string, target: Expr | undefined): Expr {
    const args = this.#list(')', () => this.#expression());
    return expandMacro(at, name, target, args, (where, message) => this.#fail(where, message)) ?? { kind: 'call', at, name, target, args };
  }

  #list<T>(end: string, part: () => T): T[] {
    const parts: T[] = [];
    while (!this.#is(end)) {
      parts.push(part());
      if (!this.#accept(',')) break;
      // A comma may end lists and maps, but not arguments.
      if (end === ')' && this.#is(end)) throw this.#unexpected();
    }
    this.#expect(end);
    return parts;
  }

  #primary(): Expr {
    const token = this.#take();
    const { kind, text, at } = token;
    switch (kind) {
      case 'int': case 'uint': case 'double': return literal(at, this.#number(token));
      case 'string': return literal(at, text);
      case 'bytes': return literal(at, token.bytes ?? new Uint8Array());
      case 'ident': return this.#ident(token);
      case 'op': break;
      case 'end': this.#next--; throw this.#unexpected();
    }
    switch (text) {
      case '(': {
        const expr = this.#expression();
        this.#expect(')');
        return expr;
      }
      case '[': return { kind: 'list', at, items: this.#list(']', () => ({ optional: this.#accept('?') !== undefined, value: this.#expression() })) };
      case '[?': {
        // The two characters were taken for an index.
        const first = { optional: true, value: this.#expression() };
        const rest = this.#accept(',') ? this.#list(']', () => ({ optional: this.#accept('?') !== undefined, value: this.#expression() })) : (this.#expect(']'), []);
        return { kind: 'list', at, items: [first, ...rest] };
      }
      case '{': return { kind: 'map', at, entries: this.#list('}', () => this.#entry(this.#accept('?') !== undefined)) };
      case '{?': {
        const first = this.#entry(true);
        const rest = this.#accept(',') ? this.#list('}', () => this.#entry(this.#accept('?') !== undefined)) : (this.#expect('}'), []);
        return { kind: 'map', at, entries: [first, ...rest] };
      }
      case '.': {
        const name = this.#take();
        if (name.kind === 'ident') return this.#ident(name);
        break;
      }
      default: break;
    }
    this.#next--;
    throw this.#unexpected();
  }

  #entry(optional: boolean): { key: Expr; value: Expr; optional: boolean } {
    const key = this.#expression();
    this.#expect(':');
    return { key, value: this.#expression(), optional };
  }

  #ident({ text, at }: Token): Expr {
    if (text === 'true' || text === 'false') return literal(at, text === 'true');
    if (text === 'null') return literal(at, null);
    const open = this.#accept('(');
    if (open) return this.#call(open.at, text, undefined);
    if (reserved.has(text) || text === 'in') throw this.#fail(at, `reserved identifier: ${text}`);
    return { kind: 'ident', at, name: text };
  }

  #number({ kind, text, at }: Token): Value {
    if (kind === 'double') return Number(text);
    const negative = text.startsWith('-');
    const value = negative ? -BigInt(text.slice(1)) : BigInt(text);
    if (kind === 'uint') {
      if (value > 0xffff_ffff_ffff_ffffn) throw this.#fail(at, 'invalid uint literal');
      return new Uint(value);
    }
    if (value > 0x7fff_ffff_ffff_ffffn || value < -0x8000_0000_0000_0000n) throw this.#fail(at, 'invalid int literal');
    return value;
  }
}

function literal(at: number, value: Value): Expr {
  return { kind: 'literal', at, value };
}

function call(at: number, name: string, args: readonly Expr[]): Expr {
  return { kind: 'call', at, name, target: undefined, args };
}
