/** More than this tells a reader nothing new. */
const maxFound = 20;

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
  const levels: Level[] = [];
  const token = /"(?:[^"\\]|\\.)*"|[{}[\],:]/gs;
  let pending: string | undefined;
  for (let match = token.exec(text); match && found.size < maxFound; match = token.exec(text)) {
    const [lexeme] = match;
    const top = levels.at(-1);
    switch (lexeme) {
      case '{': levels.push({ keys: new Set(), at: '', index: 0 }); break;
      case '[': levels.push({ keys: undefined, at: '[0]', index: 0 }); break;
      case '}': case ']': levels.pop(); break;
      case ',': if (top && !top.keys) top.at = `[${String(++top.index)}]`; break;
      case ':': {
        if (!top?.keys || pending === undefined) break;
        top.at = JSON.parse(pending) as string;
        if (top.keys.has(top.at)) found.add(pathOf(levels));
        top.keys.add(top.at);
        break;
      }
      default: pending = lexeme;
    }
  }
  return [...found];
}

function pathOf(levels: readonly Level[]): string {
  return levels.reduce((path, { keys, at }) => (keys ? (path === '' ? at : `${path}.${at}`) : path + at), '');
}
