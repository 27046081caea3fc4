import { StatusError } from '#common/errors.ts';

type Variables = (name: string) => string | undefined;

const name = String.raw`[A-Za-z_]\w*`;
const start = new RegExp(String.raw`\$(?:(\$)|(${name})|\{(${name}))?`, 'g');

/** Puts variables into every text of a value. Source of the forms: https://docs.docker.com/reference/compose-file/interpolation/ */
export function interpolate(value: unknown, variables: Variables, where = ''): unknown {
  if (typeof value === 'string') return interpolateText(value, variables, where);
  if (Array.isArray(value)) return value.map((item, i) => interpolate(item, variables, `${where}[${String(i)}]`));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, interpolate(item, variables, where === '' ? key : `${where}.${key}`)]));
}

function interpolateText(text: string, variables: Variables, where: string): string {
  let result = '';
  let at = 0;
  start.lastIndex = 0;
  for (let match = start.exec(text); match; match = start.exec(text)) {
    const [all, dollar, bare, braced] = match;
    result += text.slice(at, match.index);
    at = match.index + all.length;
    if (dollar !== undefined) result += '$';
    else if (bare !== undefined) result += variables(bare) ?? '';
    else if (braced !== undefined) {
      const end = closing(text, at);
      if (end === undefined) throw new StatusError('BadRequest', `${where}: "${text}" has a \${ that is not closed`);
      result += expand(braced, text.slice(at, end), variables, where);
      at = end + 1;
    } else throw new StatusError('BadRequest', `${where}: "${text}" has a $ before no variable; write $$ for one that is meant`);
    start.lastIndex = at;
  }
  return result + text.slice(at);
}

/** Where the brace ends, with those of nested variables in between. */
function closing(text: string, from: number): number | undefined {
  for (let i = from, depth = 0; i < text.length; i++) {
    if (text[i] === '{' && text[i - 1] === '$') depth++;
    else if (text[i] === '}' && depth-- === 0) return i;
  }
  return undefined;
}

function expand(variable: string, rest: string, variables: Variables, where: string): string {
  const value = variables(variable);
  if (rest === '') return value ?? '';
  const [, colon, operator, word = ''] = /^(:?)([-+?])([\s\S]*)$/.exec(rest) ?? [];
  const set = value !== undefined && (colon !== ':' || value !== '');
  switch (operator) {
    case '-': return set ? value : interpolateText(word, variables, where);
    case '+': return set ? interpolateText(word, variables, where) : '';
    case '?':
      if (set) return value;
      throw new StatusError('BadRequest', `${where}: the variable ${variable} must be set${word === '' ? '' : `: ${word}`}; set it in the shell or in .env`);
    default: throw new StatusError('BadRequest', `${where}: "\${${variable}${rest}}" is no form of a variable that is known`);
  }
}

/** The variables of a `.env` or `env_file`. */
export function parseEnvFile(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const [, key, given] = /^\s*(?:export\s+)?([^\s=#]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (key === undefined || given === undefined) continue;
    const quoted = /^(["'])(.*)\1(?:\s+#.*)?$/.exec(given);
    if (!quoted) found.set(key, given.replace(/\s+#.*$/, ''));
    else found.set(key, quoted[1] === "'" ? quoted[2] ?? '' : (quoted[2] ?? '').replaceAll(/\\([nrt"\\$])/g, (_, char: string) => ({ n: '\n', r: '\r', t: '\t' })[char] ?? char));
  }
  return found;
}
