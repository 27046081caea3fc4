/** A meta.k8s.io/v1 Table as the server sends it. */
export interface Table {
  readonly columnDefinitions: readonly { readonly name: string; readonly priority: number }[];
  readonly rows: readonly { readonly cells: readonly unknown[]; readonly object?: { readonly metadata?: { readonly name?: string; readonly namespace?: string; readonly resourceVersion?: string; readonly labels?: Readonly<Record<string, string>> } } }[];
}

export interface TableOptions {
  readonly wide: boolean;
  readonly headers: boolean;
  readonly namespaces: boolean;
  readonly labels: boolean;
  /** Labels that get a column of their own. */
  readonly labelColumns?: readonly string[];
  /** Put before each name when several kinds are shown: `pod/`. */
  readonly prefix?: string;
}

const gap = 3;
const minWidth = 6;

/** Prints tables as kubectl does: columns three blanks apart, headers in capitals. A second table (a watch) has no header. */
export class TablePrinter {
  readonly #options: TableOptions;
  #columns: Table['columnDefinitions'] | undefined;
  #widths: number[] = [];
  #printed = false;

  constructor(options: TableOptions) {
    this.#options = options;
  }

  print(table: Table): string {
    // Watch events leave the definitions out after the first.
    if (table.columnDefinitions?.length) this.#columns = table.columnDefinitions;
    const columns = this.#columns ?? [];
    const { wide, headers, namespaces, labels, labelColumns = [], prefix = '' } = this.#options;
    const shown = columns.map((column, index) => ({ column, index })).filter(({ column }) => wide || column.priority === 0);
    const rows = table.rows.map((row) => [
      ...(namespaces ? [row.object?.metadata?.namespace ?? ''] : []),
      ...shown.map(({ index }) => (index === 0 ? prefix : '') + cell(row.cells[index])),
      ...labelColumns.map((key) => cell(row.object?.metadata?.labels?.[key] ?? '')),
      ...(labels ? [Object.entries(row.object?.metadata?.labels ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => `${key}=${value}`).join(',') || '<none>'] : []),
    ]);
    const header = [...(namespaces ? ['NAMESPACE'] : []), ...shown.map(({ column }) => column.name.toUpperCase()), ...labelColumns.map((key) => key.replace(/^.*\//, '').toUpperCase()), ...(labels ? ['LABELS'] : [])];
    const withHeader = headers && !this.#printed ? [header, ...rows] : rows;
    this.#printed = true;
    this.#widths = header.map((_, i) => Math.max(this.#widths[i] ?? minWidth, ...withHeader.map((row) => (row[i]?.length ?? 0) + gap)));
    return withHeader.map((row) => `${row.map((text, i) => (i === row.length - 1 ? text : text.padEnd(this.#widths[i] ?? 0))).join('')}\n`).join('');
  }
}

/** Lines of plain cells, aligned as above or, where kubectl does so, closer. */
export function columns(rows: readonly (readonly string[])[], apart = gap): string {
  const widths: number[] = [];
  for (const row of rows) for (const [i, text] of row.entries()) widths[i] = Math.max(widths[i] ?? minWidth, text.length + apart);
  return rows.map((row) => `${row.map((text, i) => (i === row.length - 1 ? text : text.padEnd(widths[i] ?? 0))).join('')}\n`).join('');
}

/** One line, no control characters: what an object says must not move the cursor of who reads it. */
function cell(value: unknown): string {
  if (value === null || value === undefined) return '<none>';
  // eslint-disable-next-line no-control-regex
  return String(value).replaceAll(/[\u0000-\u001f\u007f]/g, ' ');
}
