import type { ProxyChange, ProxyConfig, ServicePort } from '../../types.ts';
import { Claims, type Wishes } from '../../claims.ts';
import type { Family } from '../../families.ts';
import { baseRules, describePort, type Description } from './rules.ts';

/**
 * The contents of one table: what the kernel was last given, and the transactions that lead on from there. An address
 * and port that several service ports claim belongs to the one whose id sorts first; the next takes over when that goes.
 * Pure: a transaction that fails must be followed by `replace`.
 */
export class TableRules {
  readonly #family: Family;
  readonly #config: ProxyConfig;
  readonly #ports = new Map<string, Description>();
  readonly #claims = new Claims();

  constructor(family: Family, config: ProxyConfig) {
    this.#family = family;
    this.#config = config;
  }

  /** The text that puts `all` in the place of whatever the table holds. `remembered`: elements to put into sets, see affinity.ts. */
  replace(all: readonly ServicePort[], remembered: ReadonlyMap<string, readonly string[]> = new Map()): string {
    this.#ports.clear();
    this.#claims.clear();
    const text = new Transaction(this.#family, this.#config.tableName);
    for (const port of all) this.#ports.set(port.id, describePort(port, this.#family));
    for (const description of this.#ports.values()) text.create(description);
    for (const { kind, key, after } of this.#claims.update([...this.#ports].map(([id, { elements }]) => [id, elements]))) text.addElement(kind, key, after ?? '');
    for (const [set, elements] of remembered) for (const element of elements) text.addElement(set, element, '');
    const table = `${this.#family} ${this.#config.tableName}`;
    return `add table ${table}\ndelete table ${table}\n${baseRules(this.#family, this.#config)}${text.toString()}`;
  }

  /** The text for a change; empty when nothing of this table is concerned. */
  apply(change: ProxyChange): string {
    const text = new Transaction(this.#family, this.#config.tableName);
    const updates: [string, Wishes | undefined][] = [];
    const ids = [...change.removed.map((id) => ({ id, port: undefined })), ...change.set.map((port) => ({ id: port.id, port }))];
    for (const { id, port } of ids) {
      const after = port && describePort(port, this.#family);
      text.change(this.#ports.get(id), after);
      if (after) this.#ports.set(id, after);
      else this.#ports.delete(id);
      updates.push([id, after?.elements]);
    }
    for (const { kind, key, before, after } of this.#claims.update(updates)) {
      if (before !== undefined) text.removeElement(kind, key);
      if (after !== undefined) text.addElement(kind, key, after);
    }
    return text.toString();
  }
}

/** Collects commands in the order in which nothing refers to what is not there yet or no more. */
class Transaction {
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
