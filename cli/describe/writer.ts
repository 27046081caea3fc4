/** Lines of `Name:  value` pairs with nesting, aligned per block as kubectl's describe prints them. */
export class DescribeWriter {
  readonly #rows: { readonly indent: number; readonly cells: readonly string[] }[] = [];

  /** A field; several values go on lines of their own below each other. */
  field(name: string, values: string | number | undefined | readonly string[], indent = 0): this {
    const [first = '<none>', ...rest] = Array.isArray(values) ? (values as readonly string[]) : [values === undefined || values === '' ? '<none>' : String(values)];
    this.#rows.push({ indent, cells: [`${name}:`, first] }, ...rest.map((value) => ({ indent, cells: ['', value] })));
    return this;
  }

  line(text: string, indent = 0): this {
    this.#rows.push({ indent, cells: [text] });
    return this;
  }

  /** A table with a rule under its header. */
  table(header: readonly string[], rows: readonly (readonly string[])[], indent = 1): this {
    const all = [header, header.map((name) => '-'.repeat(name.length)), ...rows];
    const widths = header.map((_, i) => Math.max(...all.map((row) => row[i]?.length ?? 0)));
    for (const row of all) this.line(row.map((text, i) => (i === row.length - 1 ? text : text.padEnd((widths[i] ?? 0) + 2))).join('').trimEnd(), indent);
    return this;
  }

  toString(): string {
    const pad = (indent: number): string => '  '.repeat(indent);
    // Only fields share a column; a long line of text must not push it away.
    const width = Math.max(0, ...this.#rows.filter(({ cells }) => cells.length > 1).map(({ indent, cells }) => pad(indent).length + (cells[0]?.length ?? 0))) + 2;
    return this.#rows.map(({ indent, cells }) => {
      const [name = '', value] = cells;
      return `${(value === undefined ? pad(indent) + name : (pad(indent) + name).padEnd(width) + value).trimEnd()}\n`;
    }).join('');
  }
}

/** `key=value` pairs, one a line, sorted. */
export function pairs(map: Readonly<Record<string, string>> | undefined, separator = '='): string[] {
  const found = Object.entries(map ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => `${key}${separator}${value}`);
  return found.length > 0 ? found : ['<none>'];
}
