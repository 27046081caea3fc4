import type { ProxyChange, ProxyConfig, ServicePort } from '../../types.ts';
import { Claims, type ClaimChange, type Wishes } from '../../claims.ts';
import type { Family } from '../../families.ts';
import { baseRules, describePort, expand, type Description } from './rules.ts';
import { isEndpointMap, sharedPart } from './shared.ts';
import { Transaction } from './transaction.ts';

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
  /** Shared chains that there are. They stay until all is replaced: that many different numbers of endpoints there are not. */
  readonly #shared = new Set<string>();
  /**
   * Map → keys of endpoints that nothing leads to any more. A packet that was on its way there when the rest changed still
   * finds one, as it would have before; they go with the next transaction.
   */
  #lingering = new Map<string, Set<string>>();

  constructor(family: Family, config: ProxyConfig) {
    this.#family = family;
    this.#config = config;
  }

  /** The text that puts `all` in the place of whatever the table holds. `remembered`: elements to put into sets, see affinity.ts. */
  replace(all: readonly ServicePort[], remembered: ReadonlyMap<string, readonly string[]> = new Map()): string {
    this.#ports.clear();
    this.#claims.clear();
    this.#shared.clear();
    this.#lingering.clear();
    const text = new Transaction(this.#family, this.#config.tableName);
    for (const port of all) this.#ports.set(port.id, describePort(port, this.#family));
    for (const description of this.#ports.values()) {
      this.#share(description.shared, text);
      text.create(description);
    }
    for (const change of this.#claims.update([...this.#ports].map(([id, { elements }]) => [id, elements]))) this.#changeElements(change, text);
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
      this.#share(after?.shared ?? [], text);
      text.change(this.#ports.get(id), after);
      if (after) this.#ports.set(id, after);
      else this.#ports.delete(id);
      updates.push([id, after?.elements]);
    }
    const stale = this.#lingering;
    this.#lingering = new Map();
    for (const one of this.#claims.update(updates)) this.#changeElements(one, text);
    if (text.toString() === '' && this.#lingering.size === 0) this.#lingering = stale;
    else for (const [map, keys] of stale) for (const key of keys) text.removeElement(map, key);
    return text.toString();
  }

  #share(names: Iterable<string>, text: Transaction): void {
    for (const name of names) {
      if (this.#shared.has(name)) continue;
      this.#shared.add(name);
      const part = sharedPart(name, this.#family);
      this.#share(part.needs, text);
      text.share(name, part);
    }
  }

  #changeElements({ kind, key, before, after }: ClaimChange, text: Transaction): void {
    const was = before === undefined ? new Map<string, string>() : expand(kind, before);
    const is = after === undefined ? new Map<string, string>() : expand(kind, after);
    for (const [set, value] of was) {
      if (is.get(set) === value) continue;
      if (!is.has(set) && isEndpointMap(set)) this.#linger(set, key);
      else text.removeElement(set, key);
    }
    for (const [set, value] of is) if (was.get(set) !== value) text.addElement(set, key, value);
  }

  #linger(map: string, key: string): void {
    const keys = this.#lingering.get(map) ?? new Set();
    this.#lingering.set(map, keys.add(key));
  }
}
