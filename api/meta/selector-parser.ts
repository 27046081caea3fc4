import { StatusError } from '#common/errors.ts';

export type LabelOperator = '=' | '!=' | 'in' | 'notin' | 'exists' | '!exists' | '>' | '<';

/** One term of a label selector; all terms must hold. */
export interface LabelRequirement {
  readonly key: string;
  readonly operator: LabelOperator;
  /** One for =, !=, > and <; any number for in and notin; none for exists and !exists. */
  readonly values: readonly string[];
}

const symbols = ['==', '!=', '=', '!', '(', ')', ',', '>', '<'];
const binaryOperators = 'in, notin, =, ==, !=, gt, lt';

interface Token { readonly text: string; readonly symbol: boolean }
const end: Token = { text: '', symbol: true };

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let position = 0;
  while (position < text.length) {
    const character = text.charAt(position);
    if (/\s/.test(character)) {
      position++;
      continue;
    }
    const symbol = symbols.find((candidate) => text.startsWith(candidate, position));
    let word = symbol ?? '';
    if (symbol === undefined) while (position + word.length < text.length && !/[\s=!(),><]/.test(text.charAt(position + word.length))) word += text.charAt(position + word.length);
    tokens.push({ text: word, symbol: symbol !== undefined });
    position += word.length;
  }
  return tokens;
}

/** A recursive-descent reader of label selectors; messages as in k8s.io/apimachinery/pkg/labels. */
class Parser {
  readonly #tokens: Token[];
  #next = 0;

  constructor(text: string) {
    this.#tokens = tokenize(text);
  }

  parse(): LabelRequirement[] {
    const requirements: LabelRequirement[] = [];
    if (this.#done()) return requirements;
    for (;;) {
      const first = this.#peek();
      if (first.symbol && first.text !== '!') throw fail(`found '${first.text}', expected: !, identifier, or 'end of string'`);
      requirements.push(this.#requirement());
      if (this.#done()) return requirements;
      const comma = this.#take();
      if (comma.text !== ',' || !comma.symbol) throw fail(`found '${comma.text}', expected: ',' or 'end of string'`);
      const after = this.#peek();
      if (after.symbol && after.text !== '!') throw fail(`found '${after.text}', expected: identifier after ','`);
    }
  }

  #done(): boolean {
    return this.#next >= this.#tokens.length;
  }

  #peek(): Token {
    return this.#tokens[this.#next] ?? end;
  }

  #take(): Token {
    const token = this.#peek();
    this.#next++;
    return token;
  }

  #requirement(): LabelRequirement {
    const negated = this.#peek().symbol;
    if (negated) this.#take();
    const key = this.#take();
    if (key.symbol) throw fail(`unable to parse requirement: found '${key.text}', expected: identifier`);
    if (negated) return { key: key.text, operator: '!exists', values: [] };
    const following = this.#peek();
    if (this.#done() || (following.symbol && following.text === ',')) return { key: key.text, operator: 'exists', values: [] };
    const operator = this.#operator();
    return { key: key.text, operator, values: operator === 'in' || operator === 'notin' ? this.#values() : [this.#exactValue()] };
  }

  #operator(): LabelOperator {
    const token = this.#take();
    if (token.symbol) {
      if (token.text === '=' || token.text === '==') return '=';
      if (token.text === '!=' || token.text === '>' || token.text === '<') return token.text;
    } else if (token.text === 'in' || token.text === 'notin') return token.text;
    throw fail(`unable to parse requirement: found '${token.text}', expected: ${binaryOperators}`);
  }

  #exactValue(): string {
    const token = this.#peek();
    if (this.#done() || (token.symbol && token.text === ',')) return '';
    this.#take();
    if (token.symbol) throw fail(`unable to parse requirement: found '${token.text}', expected: identifier`);
    return token.text;
  }

  #values(): string[] {
    const open = this.#take();
    if (!open.symbol || open.text !== '(') throw fail(`unable to parse requirement: found '${open.text}' expected: '('`);
    const values = new Set<string>();
    let current = '';
    let closed = false;
    while (!closed) {
      const token = this.#take();
      if (!token.symbol) {
        if (current !== '') throw fail(`unable to parse requirement: found '${token.text}', expected: ',', or ')'`);
        current = token.text;
      } else if (token.text === ',' || token.text === ')') {
        values.add(current);
        current = '';
        closed = token.text === ')';
      } else throw fail(`unable to parse requirement: found '${token.text}', expected: ',', ')' or identifier`);
    }
    return [...values];
  }
}

function fail(message: string): StatusError {
  return new StatusError('BadRequest', message);
}

/** The terms of a selector's text, without checks of keys and values. */
export function parseRequirements(text: string): LabelRequirement[] {
  return new Parser(text).parse();
}
