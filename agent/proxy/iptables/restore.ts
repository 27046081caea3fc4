import { jumpsOf, tablesOf, type ChainLayout, type Chains, type Table, type Tables } from './layout.ts';

/** Holds one rule that names what was last applied: a change on anything else fails as a whole. */
export const stateChain = 'STATE';

function stateRule(generation: string): string {
  return `-m comment --comment "${generation}"`;
}

/** What a table holds of ours: chains by their full names, and the built-in chains that have our jump. */
export interface Present {
  readonly chains: ReadonlySet<string>;
  readonly jumps: ReadonlySet<string>;
}

export type PresentTables = Readonly<Partial<Record<Table, Present>>>;

const nothing: Present = { chains: new Set(), jumps: new Set() };

/** The text that puts `after` in the place of whatever is there of ours. Each table is changed at once. */
export function replaceText(after: Tables, present: PresentTables, generation: string, layout: ChainLayout): string {
  return tablesOf(layout).map((table) => {
    const { chains: there, jumps } = present[table] ?? nothing;
    const chains = new Map([...after[table] ?? [], [stateChain, [stateRule(generation)]] as const]);
    const full = new Set([...chains.keys()].map(layout.chain));
    const stale = [...there].filter((chain) => !full.has(chain));
    const missing = jumpsOf(layout).filter(([of, builtin]) => of === table && !jumps.has(builtin));
    return tableText(table, [...full, ...stale], [
      ...[...chains].flatMap(([name, rules]) => added(layout.chain(name), rules)),
      ...missing.map(([, builtin, condition, chain]) => `-I ${builtin} 1 ${condition}-j ${layout.chain(chain)}`),
      ...stale.map((chain) => `-X ${chain}`),
    ]);
  }).join('');
}

/** The text that leads from `before` to `after`; empty when they are the same. */
export function changeText(before: Tables, after: Tables, generations: { readonly before: string; readonly after: string }, layout: ChainLayout): string {
  const changes = tablesOf(layout).map((table) => ({ table, ...difference(before[table] ?? new Map(), after[table] ?? new Map(), layout) }));
  if (changes.every(({ flushed, rules }) => flushed.length + rules.length === 0)) return '';
  const state = layout.chain(stateChain);
  return changes.map(({ table, flushed, rules }) => tableText(table, flushed, [`-D ${state} ${stateRule(generations.before)}`, `-A ${state} ${stateRule(generations.after)}`, ...rules])).join('');
}

/** The text that takes all of ours away. */
export function removeText(present: PresentTables, layout: Pick<ChainLayout, 'chain' | 'jumps'>): string {
  return tablesOf(layout).map((table) => {
    const { chains, jumps } = present[table] ?? nothing;
    const leading = jumpsOf(layout).filter(([of, builtin]) => of === table && jumps.has(builtin));
    if (leading.length + chains.size === 0) return '';
    return tableText(table, [...chains], [...leading.map(([, builtin, condition, chain]) => `-D ${builtin} ${condition}-j ${layout.chain(chain)}`), ...[...chains].map((chain) => `-X ${chain}`)]);
  }).join('');
}

/** Reads `iptables-save`. `prefix` begins all our chains. */
export function parseSaved(text: string, prefix: string): PresentTables {
  const [, ...parts] = text.split(/^\*(\w+)$/m);
  return Object.fromEntries(parts.flatMap((table, i) => i % 2 === 0 ? [[table, parseTable(parts[i + 1] ?? '', prefix)]] : []));
}

function parseTable(text: string, prefix: string): Present {
  const chains = new Set([...text.matchAll(/^:(\S+) /gm)].map(([, name = '']) => name).filter((name) => name.startsWith(`${prefix}-`)));
  const found = [...text.matchAll(/^-A (\S+) .*-j (\S+)$/gm)].filter(([, from = '', to = '']) => to.startsWith(`${prefix}-`) && !from.startsWith(`${prefix}-`));
  return { chains, jumps: new Set(found.map(([, from = '']) => from)) };
}

function difference(before: Chains, after: Chains, layout: ChainLayout): { readonly flushed: readonly string[]; readonly rules: readonly string[] } {
  const flushed: string[] = [];
  const [removed, filled, deleted]: [string[], string[], string[]] = [[], [], []];
  for (const [name, rules] of after) {
    const old = before.get(name);
    const chain = layout.chain(name);
    if (old && layout.unordered.has(name)) {
      const [was, is] = [new Set(old), new Set(rules)];
      removed.push(...old.filter((rule) => !is.has(rule)).map((rule) => `-D ${chain} ${rule}`));
      filled.push(...added(chain, rules.filter((rule) => !was.has(rule))));
    } else if (old?.join('\n') !== rules.join('\n')) {
      flushed.push(chain);
      filled.push(...added(chain, rules));
    }
  }
  for (const name of before.keys()) {
    if (after.has(name)) continue;
    flushed.push(layout.chain(name));
    deleted.push(`-X ${layout.chain(name)}`);
  }
  return { flushed, rules: [...removed, ...filled, ...deleted] };
}

function added(chain: string, rules: readonly string[]): string[] {
  return rules.map((rule) => `-A ${chain} ${rule}`);
}

/** `flushed`: chains that are made, or emptied when they are there. */
function tableText(table: string, flushed: readonly string[], rules: readonly string[]): string {
  return `*${table}\n${flushed.map((chain) => `:${chain} - [0:0]\n`).join('')}${rules.map((rule) => `${rule}\n`).join('')}COMMIT\n`;
}
