import { StatusError } from '#common/errors.ts';

/**
 * kubectl's JSONPath templates: text, `{.a.b}`, `{.items[0]}`, `{[*]}`, `{[-1:]}`, `{..name}`, `{['a.b']}`,
 * `{[?(@.x=="y")]}`, `{range .items[*]}…{end}`, `{"\n"}`.
 * Source: https://kubernetes.io/docs/reference/kubectl/jsonpath/
 */
type Step =
  | { readonly type: 'field'; readonly name: string }
  | { readonly type: 'wildcard' }
  | { readonly type: 'descend'; readonly name: string }
  | { readonly type: 'slice'; readonly from: number | undefined; readonly to: number | undefined; readonly step: number }
  | { readonly type: 'index'; readonly at: number }
  | { readonly type: 'filter'; readonly left: readonly Step[]; readonly operator: string; readonly right: string };

type Node =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'path'; readonly steps: readonly Step[] }
  | { readonly type: 'range'; readonly steps: readonly Step[]; readonly body: readonly Node[] };

export function render(template: string, object: unknown): string {
  return evaluateNodes(parse(template), object);
}

/** Every value that the paths of a template find. */
export function templateValues(template: string, object: unknown): unknown[] {
  return parse(template).flatMap((node) => (node.type === 'path' ? walk(node.steps, object, 'strict') : []));
}

function parse(template: string): readonly Node[] {
  const blocks = [...template.matchAll(/\{((?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^{}"'])*)\}|([^{}]+)/g)];
  if (blocks.map(([whole]) => whole).join('') !== template) throw broken(template, 'unbalanced braces');
  const stack: { steps: readonly Step[]; body: Node[] }[] = [{ steps: [], body: [] }];
  for (const [, code, plain] of blocks) {
    const body = stack.at(-1)?.body ?? [];
    const trimmed = code?.trim();
    if (trimmed === undefined) body.push({ type: 'text', text: plain ?? '' });
    else if (trimmed === 'end') {
      const range = stack.pop();
      if (!range || stack.length === 0) throw broken(template, '{end} without {range}');
      stack.at(-1)?.body.push({ type: 'range', ...range });
    } else if (trimmed.startsWith('range ')) stack.push({ steps: parsePath(trimmed.slice(6).trim()), body: [] });
    else if (/^["']/.test(trimmed)) body.push({ type: 'text', text: unquote(trimmed) });
    else body.push({ type: 'path', steps: parsePath(trimmed) });
  }
  if (stack.length !== 1) throw broken(template, '{range} without {end}');
  return stack[0]?.body ?? [];
}

/** The text of every value at a path. */
export function valuesAt(path: string, object: unknown): string[] {
  return walk(parsePath(path.replace(/^\{(.*)\}$/s, '$1')), object).map(show);
}

/** The first value at a path (`.metadata.name` or `{.metadata.name}`). */
export function evaluate(path: string, object: unknown): unknown {
  return walk(parsePath(path.replace(/^\{(.*)\}$/s, '$1')), object)[0];
}

/** Numbers by value, everything else as text; what is missing comes first. */
export function compareValues(a: unknown, b: unknown): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  const [left, right] = [a, b].map((value) => (value === undefined ? '' : String(value)));
  return (left ?? '') < (right ?? '') ? -1 : left === right ? 0 : 1;
}

function evaluateNodes(nodes: readonly Node[], current: unknown): string {
  return nodes.map((node) => {
    switch (node.type) {
      case 'text': return node.text;
      case 'path': return walk(node.steps, current, 'strict').map(show).join(' ');
      case 'range': return walk(node.steps, current).map((item) => evaluateNodes(node.body, item)).join('');
    }
  }).join('');
}

function show(value: unknown): string {
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value);
}

const token = /\.\.([\w-]+)|\.\*|\.((?:[\w/-]|\\.)+)|\[\*\]|\[(-?\d+)\]|\[(-?\d*):(-?\d*)(?::(\d+))?\]|\[(["'])((?:(?!\7).)*)\7\]|\[\?\(\s*@?((?:\.[\w\\.-]+|\[[^\]]*\])*)\s*(?:(==|!=|<=|>=|<|>)\s*("[^"]*"|'[^']*'|[\w.-]+)\s*)?\)\]|\./y;

function parsePath(source: string): Step[] {
  const path = source.replace(/^[$@]/, '');
  const steps: Step[] = [];
  token.lastIndex = 0;
  let text = path;
  if (/^[\w-]/.test(text)) text = `.${text}`;
  let at = 0;
  while (at < text.length) {
    const matcher = new RegExp(token.source, 'y');
    matcher.lastIndex = at;
    const found = matcher.exec(text);
    if (!found) throw broken(source, `"${text.slice(at)}" is not understood`);
    at = matcher.lastIndex;
    const [whole, descend, field, index, from, to, step, , quoted, left, operator, right] = found;
    if (descend !== undefined) steps.push({ type: 'descend', name: descend });
    else if (whole === '.*' || whole === '[*]') steps.push({ type: 'wildcard' });
    else if (field !== undefined) steps.push({ type: 'field', name: field.replaceAll(/\\(.)/g, '$1') });
    else if (index !== undefined) steps.push({ type: 'index', at: Number(index) });
    else if (from !== undefined || to !== undefined) steps.push({ type: 'slice', from: from === '' || from === undefined ? undefined : Number(from), to: to === '' || to === undefined ? undefined : Number(to), step: Number(step ?? 1) || 1 });
    else if (quoted !== undefined) steps.push({ type: 'field', name: quoted });
    else if (whole.startsWith('[?')) steps.push({ type: 'filter', left: parsePath(left ?? ''), operator: operator ?? '', right: unquote(right ?? '') });
  }
  return steps;
}

/** `strict`: an index beyond the end of a list is an error, as kubectl has it for templates; a field that is missing never is. */
function walk(steps: readonly Step[], start: unknown, mode: 'strict' | 'lenient' = 'lenient'): unknown[] {
  return steps.reduce<unknown[]>((values, step) => values.flatMap((value) => {
    if (mode === 'strict' && step.type === 'index' && Array.isArray(value) && value.at(step.at) === undefined) throw new StatusError('BadRequest', `error executing jsonpath: array index out of bounds: index ${String(step.at)}, length ${String(value.length)}`);
    return follow(step, value);
  }), [start]);
}

function follow(step: Step, value: unknown): unknown[] {
  const children = typeof value === 'object' && value !== null ? Object.values(value) : [];
  switch (step.type) {
    case 'field': {
      const found = typeof value === 'object' && value !== null && Object.hasOwn(value, step.name) ? (value as Record<string, unknown>)[step.name] : undefined;
      return found === undefined ? [] : [found];
    }
    case 'wildcard': return children;
    case 'descend': return [...follow({ type: 'field', name: step.name }, value), ...children.flatMap((child) => follow(step, child))];
    case 'index': return Array.isArray(value) && value.at(step.at) !== undefined ? [value.at(step.at) as unknown] : [];
    case 'slice': return Array.isArray(value) ? value.slice(step.from ?? 0, step.to).filter((_, i) => i % step.step === 0) : [];
    case 'filter': return children.filter((child) => walk(step.left, child).some((left) => step.operator === '' || compare(left, step.operator, step.right)));
  }
}

function compare(left: unknown, operator: string, right: string): boolean {
  const order = typeof left === 'number' ? left - Number(right) : compareValues(left, right);
  switch (operator) {
    case '==': return order === 0;
    case '!=': return order !== 0;
    case '<': return order < 0;
    case '<=': return order <= 0;
    case '>': return order > 0;
    default: return order >= 0;
  }
}

function unquote(text: string): string {
  if (!/^(["']).*\1$/s.test(text)) return text;
  return text.slice(1, -1).replaceAll(/\\(.)/g, (_, letter: string) => ({ n: '\n', t: '\t', r: '\r' })[letter] ?? letter);
}

function broken(template: string, why: string): StatusError {
  return new StatusError('BadRequest', `error parsing jsonpath ${template}: ${why}`);
}
