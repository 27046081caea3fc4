/** More than this tells a reader nothing new. */
const maxFound = 20;
/** A text may be made of nothing but keys that come twice. */
const maxLooks = 5000;

interface Level {
  /** Undefined in an array. */
  readonly keys: Set<string> | undefined;
  /** The key, or the index, whose value is being read. */
  at: string;
  index: number;
}

/**
 * Dotted paths of keys that an object in `text` has twice; `JSON.parse` keeps the last and says nothing.
 * `text` must be sound JSON. Each is reported once.
 */
export function duplicateFields(text: string): string[] {
  const found = new Set<string>();
  walkKeys(text, (path, isRepeated) => {
    if (isRepeated) found.add(path());
    return found.size < maxFound;
  });
  return [...found];
}

/** What is wrong with the fields of `text`, in its order: those that are unknown, and those that come twice. What is unknown is that only once. */
export function problemsInOrder(text: string, unknown: readonly string[]): string[] {
  const found = new Set<string>();
  const unread = new Set(unknown);
  const within = (path: string): string | undefined => unknown.find((outer) => path.startsWith(outer) && (path.length === outer.length || path[outer.length] === '.' || path[outer.length] === '['));
  const lastKeys = new Set(unknown.map((path) => path.slice(path.lastIndexOf('.') + 1).replace(/\[\d+\]$/, '')));
  let looks = 0;
  walkKeys(text, (path, isRepeated, key) => {
    if (!isRepeated && (unread.size === 0 || !lastKeys.has(key.slice(key.lastIndexOf('.') + 1)))) return true;
    if (looks++ > maxLooks) return false;
    const here = path();
    const outer = within(here);
    if (outer !== undefined) found.add(unknownField(outer));
    else if (isRepeated) found.add(duplicateField(here));
    if (outer !== undefined) unread.delete(outer);
    return found.size < maxFound;
  });
  return [...found];
}

export function duplicateField(path: string): string {
  return `duplicate field ${JSON.stringify(path)}`;
}

export function unknownField(path: string): string {
  return `unknown field ${JSON.stringify(path)}`;
}

/** Visits every key of every object, until `visit` returns false. */
function walkKeys(text: string, visit: (path: () => string, isRepeated: boolean, key: string) => boolean): void {
  const levels: Level[] = [];
  const path = (): string => pathOf(levels);
  /** Where the last string began and ended: a key, if a colon follows. */
  let begin = 0;
  let end = 0;
  for (let i = 0; i < text.length; i++) {
    const top = levels.at(-1);
    switch (text[i]) {
      case '{': levels.push({ keys: new Set(), at: '', index: 0 }); break;
      case '[': levels.push({ keys: undefined, at: '[0]', index: 0 }); break;
      case '}': case ']': levels.pop(); break;
      case ',': if (top && !top.keys) top.at = `[${String(++top.index)}]`; break;
      case '"': begin = i; i = end = endOfString(text, i); break;
      case ':':
        if (!top?.keys) break;
        top.at = keyIn(text, begin, end);
        if (!visit(path, top.keys.has(top.at), top.at)) return;
        top.keys.add(top.at);
        break;
      default: break;
    }
  }
}

function keyIn(text: string, begin: number, end: number): string {
  const raw = text.slice(begin + 1, end);
  return raw.includes('\\') ? JSON.parse(text.slice(begin, end + 1)) as string : raw;
}

/** The closing quote of the string that opens at `start`. No regular expression: a string may be as long as a body. */
function endOfString(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); quote >= 0; quote = text.indexOf('"', quote + 1)) {
    let slashes = 0;
    while (text[quote - 1 - slashes] === '\\') slashes++;
    if (slashes % 2 === 0) return quote;
  }
  return text.length;
}

function pathOf(levels: readonly Level[]): string {
  return levels.reduce((path, { keys, at }) => (keys ? (path === '' ? at : `${path}.${at}`) : path + at), '');
}
