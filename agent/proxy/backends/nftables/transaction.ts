import type { Family } from '../../families.ts';
import type { Description } from './rules.ts';
import type { SharedPart } from './shared.ts';

/** Collects commands in the order in which nothing refers to what is not there yet or no more. */
export class Transaction {
  readonly #table: string;
  readonly #removedElements = new Map<string, string[]>();
  readonly #created: string[] = [];
  readonly #flushed: string[] = [];
  readonly #rules: string[] = [];
  readonly #addedElements = new Map<string, string[]>();
  readonly #deleted: string[] = [];

  constructor(family: Family, tableName: string) {
    this.#table = `${family} ${tableName}`;
  }

  create(description: Description): void {
    this.change(undefined, description);
  }

  share(name: string, { chain, map }: SharedPart): void {
    if (map !== undefined) this.#created.push(`add map ${this.#table} ${name} ${map}`);
    this.#created.push(`add chain ${this.#table} ${name}`);
    for (const rule of chain) this.#rules.push(`add rule ${this.#table} ${name} ${rule}`);
  }

  change(before: Description | undefined, after: Description | undefined): void {
    for (const [name, declaration] of after?.sets ?? []) {
      const old = before?.sets.get(name);
      if (old === declaration) continue;
      // A set cannot be altered; its chains are flushed below, so it can go and come again.
      if (old !== undefined) this.#created.push(`delete set ${this.#table} ${name}`);
      this.#created.push(`add set ${this.#table} ${name} ${declaration}`);
    }
    for (const [name, rules] of after?.chains ?? []) {
      const old = before?.chains.get(name);
      const stale = rules.some((rule) => setsChanged(rule, before, after));
      if (old && !stale && old.join('\n') === rules.join('\n')) continue;
      if (old) this.#flushed.push(`flush chain ${this.#table} ${name}`);
      else this.#created.push(`add chain ${this.#table} ${name}`);
      for (const rule of rules) this.#rules.push(`add rule ${this.#table} ${name} ${rule}`);
    }
    for (const name of before?.chains.keys() ?? []) {
      if (after?.chains.has(name)) continue;
      this.#flushed.push(`flush chain ${this.#table} ${name}`);
      this.#deleted.push(`delete chain ${this.#table} ${name}`);
    }
    for (const name of before?.sets.keys() ?? []) if (!after?.sets.has(name)) this.#deleted.push(`delete set ${this.#table} ${name}`);
  }

  addElement(set: string, key: string, value: string): void {
    push(this.#addedElements, set, value === '' ? key : `${key} : ${value}`);
  }

  removeElement(set: string, key: string): void {
    push(this.#removedElements, set, key);
  }

  toString(): string {
    const elements = (verb: string, sets: Map<string, string[]>): string[] =>
      [...sets].map(([set, keys]) => `${verb} element ${this.#table} ${set} { ${keys.join(', ')} }`);
    const lines = [
      ...elements('delete', this.#removedElements), ...this.#flushed, ...this.#created, ...this.#rules,
      ...elements('add', this.#addedElements), ...this.#deleted,
    ];
    return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
  }
}

function setsChanged(rule: string, before: Description | undefined, after: Description | undefined): boolean {
  const name = /@(aff\/\S+)/.exec(rule)?.[1];
  return name !== undefined && before?.sets.get(name) !== after?.sets.get(name);
}

function push(map: Map<string, string[]>, key: string, value: string): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}
