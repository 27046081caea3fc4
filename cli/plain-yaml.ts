type Value = string | boolean | null | readonly Value[] | { readonly [key: string]: Value };
interface Line { readonly indent: number; readonly text: string }

/** Plain text that YAML reads as nothing but text: no number, no date, no word of its own. */
const plainText = /^(?!(?:null|true|false|yes|no|on|off|[yn])$)[a-z/][\w./:@+=-]*(?<!:)$/i;
const literals: Readonly<Record<string, Value>> = { true: true, false: false, null: null, '{}': {}, '[]': [] };
const notPlain = Symbol('not plain');

/**
 * Reads the plain part of YAML that machines write kubeconfigs in: block maps and lists of short scalars. Undefined
 * for everything else, so that a whole YAML parser, as slow to load as all the rest of `cleat get`, is seldom needed.
 */
export function parsePlainYaml(text: string): Value | undefined {
  const lines = text.split('\n').filter((line) => !/^\s*(#.*)?$/.test(line)).map((line) => ({ indent: line.search(/\S/), text: line.trim() }));
  if (text.includes('\t') || text.includes('\r') || lines[0]?.indent !== 0) return undefined;
  try {
    const value = block(lines);
    return lines.length === 0 ? value : undefined;
  } catch (error) {
    if (error === notPlain) return undefined;
    throw error;
  }
}

/** Takes the lines of one map or list from the front. */
function block(lines: Line[]): Value {
  const { indent, text } = lines[0] ?? fail();
  return text === '-' || text.startsWith('- ') ? list(lines, indent) : map(lines, indent);
}

function list(lines: Line[], indent: number): Value {
  const items: Value[] = [];
  while (lines[0]?.indent === indent && lines[0].text.startsWith('- ')) {
    const text = lines[0].text.slice(2);
    // What follows the dash is a map of its own that begins two columns further in.
    if (/^[\w.-]+:( |$)/.test(text)) {
      lines[0] = { indent: indent + 2, text };
      items.push(map(lines, indent + 2));
    } else {
      lines.shift();
      items.push(scalar(text));
    }
  }
  if (lines[0] && lines[0].indent > indent) fail();
  return items;
}

function map(lines: Line[], indent: number): Value {
  const entries: Record<string, Value> = Object.create(null) as Record<string, Value>;
  while (lines[0]?.indent === indent && !lines[0].text.startsWith('-')) {
    const [, key = fail(), rest = ''] = /^([a-z][\w.-]*):(?: +(\S.*))?$/i.exec(lines[0].text) ?? [];
    if (key in entries) fail();
    lines.shift();
    const next = lines[0];
    const nested = next !== undefined && (next.indent > indent || (next.indent === indent && next.text.startsWith('- ')));
    if (rest !== '' && next !== undefined && next.indent > indent) fail();
    entries[key] = rest !== '' ? scalar(rest) : nested ? block(lines) : null;
  }
  if (lines[0] && lines[0].indent > indent) fail();
  return entries;
}

function scalar(text: string): Value {
  if (Object.hasOwn(literals, text)) return literals[text] ?? null;
  if (plainText.test(text)) return text;
  return /^"[^"\\]*"$/.test(text) ? text.slice(1, -1) : fail();
}

function fail(): never {
  throw notPlain;
}
