/**
 * Text in columns as kubectl's describe aligns it: a cell ends with a tab, and neighbouring lines that have a
 * cell in the same place share that column's width. A line without the cell ends the column.
 */
export class DescribeWriter {
  readonly #lines: (readonly string[])[] = [];
  #text = '';

  /** One line, indented by two blanks a level. A line break in a cell begins a new line. */
  row(level: number, ...cells: (string | number | boolean)[]): this {
    for (const line of `${'  '.repeat(level)}${cells.join('\t')}`.split('\n')) this.#lines.push(line.split('\t').map(printable));
    return this;
  }

  /** `title:` with several values below each other; `<none>` without any. */
  list(title: string, values: readonly string[]): this {
    const [first = '<none>', ...rest] = values;
    this.row(0, `${title}:`, first);
    for (const value of rest) this.row(0, '', value);
    return this;
  }

  /** Ends all columns: what follows is aligned on its own. */
  flush(): this {
    this.#text += layOut(this.#lines);
    this.#lines.length = 0;
    return this;
  }

  toString(): string {
    return this.flush().#text;
  }
}

const padding = 2;

function layOut(lines: readonly (readonly string[])[]): string {
  const widths: number[][] = lines.map(() => []);
  const columns = Math.max(0, ...lines.map((cells) => cells.length - 1));
  for (let column = 0; column < columns; column++) {
    for (let first = 0; first < lines.length;) {
      let end = first;
      let width = 0;
      for (let cells = lines[end]; cells && cells.length - 1 > column; cells = lines[++end]) width = Math.max(width, (cells[column]?.length ?? 0) + padding);
      for (let i = first; i < end; i++) widths[i]?.push(width);
      first = end + 1;
    }
  }
  return lines.map((cells, i) => `${cells.map((cell, column) => cell.padEnd(widths[i]?.[column] ?? 0)).join('')}\n`).join('');
}

/** What an object says must not move the cursor of who reads it. */
function printable(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replaceAll(/[\u0000-\u001f\u007f]/g, ' ');
}
