import { StatusError } from '#common/errors.ts';

/** One word of a pipeline. */
export type Term =
  | { readonly type: 'value'; readonly value: unknown }
  | { readonly type: 'function'; readonly name: string }
  /** `.a.b`, `$x.a`, `(…).a`; without a base that is the dot. */
  | { readonly type: 'path'; readonly base: { readonly variable: string } | { readonly pipeline: Pipeline } | undefined; readonly fields: readonly string[] };
export interface Pipeline { readonly commands: readonly (readonly Term[])[]; readonly names: readonly string[]; readonly declares: boolean }
export type Part =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'print'; readonly pipeline: Pipeline }
  | { readonly type: 'if' | 'with' | 'range'; readonly pipeline: Pipeline; readonly body: readonly Part[]; readonly otherwise: readonly Part[] }
  | { readonly type: 'break' | 'continue' };

interface Open { readonly type: 'if' | 'with' | 'range'; readonly pipeline: Pipeline; readonly body: Part[]; otherwise: Part[] | undefined; /** How many `{{end}}`s this one takes: `else if` adds one of its own. */ readonly nested: boolean }

/** Reads a template of Go's text/template; templates within templates are not known. Source: https://pkg.go.dev/text/template */
export function parseTemplate(template: string): readonly Part[] {
  const root: Part[] = [];
  const stack: Open[] = [];
  const body = (): Part[] => { const top = stack.at(-1); return top ? (top.otherwise ?? top.body) : root; };
  const close = (): void => {
    const { type, pipeline, body: inner, otherwise = [], nested } = stack.pop() ?? fail('unexpected {{end}}');
    body().push({ type, pipeline, body: inner, otherwise });
    if (nested) close();
  };
  for (const piece of split(template)) {
    if (typeof piece === 'string') { if (piece !== '') body().push({ type: 'text', text: piece }); continue; }
    const words = tokens(piece.action);
    const [keyword = ''] = words;
    if (keyword === 'end') close();
    else if (keyword === 'else') {
      const top = stack.at(-1) ?? fail('unexpected {{else}}');
      if (top.otherwise) fail('expected end; found {{else}}');
      top.otherwise = [];
      const [, next] = words;
      if (next === 'if' || next === 'with') stack.push({ type: next, pipeline: pipelineOf(words.slice(2)), body: [], otherwise: undefined, nested: true });
    } else if (keyword === 'if' || keyword === 'with' || keyword === 'range') stack.push({ type: keyword, pipeline: pipelineOf(words.slice(1)), body: [], otherwise: undefined, nested: false });
    else if (keyword === 'break' || keyword === 'continue') body().push({ type: keyword });
    else if (keyword === 'define' || keyword === 'template' || keyword === 'block') fail(`{{${keyword}}} is not known here; use one template, or -o jsonpath`);
    else body().push({ type: 'print', pipeline: pipelineOf(words) });
  }
  if (stack.length > 0) fail('unexpected EOF: an {{end}} is missing');
  return root;
}

export function fail(why: string): never {
  throw new StatusError('BadRequest', `error parsing template: ${why}`);
}

/** Texts and actions in turn, with the space that `{{-` and `-}}` take away gone. */
function split(template: string): (string | { readonly action: string })[] {
  const pieces: (string | { readonly action: string })[] = [];
  const action = /\{\{(-\s)?\s*(\/\*[^]*?\*\/|(?:"(?:[^"\\]|\\.)*"|`[^`]*`|[^"`])*?)\s*(\s-)?\}\}/g;
  let at = 0;
  let trimNext = false;
  for (const found of template.matchAll(action)) {
    const [whole, trimLeft, text = '', trimRight] = found;
    let before = template.slice(at, found.index);
    if (trimNext) before = before.trimStart();
    pieces.push(trimLeft === undefined ? before : before.trimEnd());
    if (!text.startsWith('/*')) pieces.push({ action: text });
    trimNext = trimRight !== undefined;
    at = found.index + whole.length;
  }
  const rest = template.slice(at);
  if (rest.includes('{{')) fail('unclosed action');
  pieces.push(trimNext ? rest.trimStart() : rest);
  return pieces;
}

function tokens(action: string): string[] {
  const found = action.match(/"(?:[^"\\]|\\.)*"|`[^`]*`|'(?:[^'\\]|\\.)+'|:=|[|(),=]|\)\.[\w.]+|[^\s|(),="`']+/g) ?? [];
  if (found.join('').length < action.replaceAll(/\s/g, '').length && !/["`']/.test(action)) fail(`unexpected ${JSON.stringify(action)}`);
  return found;
}

function pipelineOf(words: readonly string[]): Pipeline {
  const assigned = words.findIndex((word) => word === ':=' || word === '=');
  const names = assigned < 0 ? [] : words.slice(0, assigned).filter((word) => word !== ',');
  if (names.some((name) => !/^\$\w+$/.test(name)) || names.length > 2) fail(`cannot assign to ${names.join(', ')}`);
  const { commands, at } = commandsOf(words, assigned + 1);
  if (at < words.length) fail(`unexpected ${words[at] ?? ''}`);
  return { commands, names, declares: words[assigned] === ':=' };
}

function commandsOf(words: readonly string[], from: number): { readonly commands: (readonly Term[])[]; readonly at: number } {
  const commands: (readonly Term[])[] = [];
  let command: Term[] = [];
  let at = from;
  for (; at < words.length && words[at] !== ')' && !words[at]?.startsWith(').'); at++) {
    const word = words[at] ?? '';
    if (word === '|') { commands.push(command); command = []; continue; }
    if (word !== '(') { command.push(termOf(word)); continue; }
    const inner = commandsOf(words, at + 1);
    const closing = words[inner.at];
    if (closing === undefined) fail('unclosed left paren');
    // A field of what is in parentheses stands right behind them.
    const next = closing === ')' && words[inner.at + 1]?.startsWith('.') === true ? words[inner.at + 1] : undefined;
    command.push({ type: 'path', base: { pipeline: { commands: inner.commands, names: [], declares: false } }, fields: fieldsOf(next ?? closing.slice(1)) });
    at = next === undefined ? inner.at : inner.at + 1;
  }
  commands.push(command);
  if (commands.some(({ length }) => length === 0)) fail('missing value for command');
  return { commands, at };
}

function fieldsOf(text: string): string[] {
  return text.split('.').filter((field) => field !== '');
}

const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r' };

function termOf(word: string): Term {
  if (word.startsWith('"')) return { type: 'value', value: word.slice(1, -1).replaceAll(/\\(u[\da-fA-F]{4}|.)/g, (_, code: string) => (code.length > 1 ? String.fromCharCode(Number.parseInt(code.slice(1), 16)) : escapes[code] ?? code)) };
  if (word.startsWith('`')) return { type: 'value', value: word.slice(1, -1) };
  if (word.startsWith('\'')) return { type: 'value', value: (escapes[word[2] ?? ''] ?? word.at(-2) ?? '').codePointAt(0) };
  if (/^[-+]?\d/.test(word)) return { type: 'value', value: Number.isNaN(Number(word)) ? fail(`bad number syntax: ${word}`) : Number(word) };
  if (word === 'true' || word === 'false') return { type: 'value', value: word === 'true' };
  if (word === 'nil') return { type: 'value', value: null };
  if (word.startsWith('$')) return { type: 'path', base: { variable: word.split('.')[0] ?? '' }, fields: fieldsOf(word.replace(/^\$\w*/, '')) };
  if (word.startsWith('.')) return { type: 'path', base: undefined, fields: fieldsOf(word) };
  if (/^[A-Za-z_]\w*$/.test(word)) return { type: 'function', name: word };
  return fail(`unexpected ${word}`);
}
