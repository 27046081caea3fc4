import type { ProxyChange, ProxyConfig, ServicePort } from '../../types.ts';
import { Claims, type ClaimChange, type Wishes } from '../../claims.ts';
import type { Family } from '../../families.ts';
import { baseRules, describePort, eachElement, type Description, type Element } from './rules.ts';
import { sharedPart } from './shared.ts';
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
  readonly #claims = new Claims<Element>();
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
    for (const description of this.#ports.values()) text.create(description);
    for (const change of this.#claims.update([...this.#ports].map(([id, { elements }]) => [id, elements]))) this.#changeElements(change, text);
    for (const [set, elements] of remembered) for (const element of elements) text.addElement(set, element, '');
    const table = `${this.#family} ${this.#config.tableName}`;
    return `add table ${table}\ndelete table ${table}\n${baseRules(this.#family, this.#config)}${text.toString()}`;
  }

  /** The text for a change; empty when nothing of this table is concerned. */
  apply(change: ProxyChange): string {
    const text = new Transaction(this.#family, this.#config.tableName);
    const updates: [string, Wishes<Element> | undefined][] = [];
    const ids = [...change.removed.map((id) => ({ id, port: undefined })), ...change.set.map((port) => ({ id: port.id, port }))];
    for (const { id, port } of ids) {
      const after = port && describePort(port, this.#family);
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

  #changeElements({ kind: set, key, before, after }: ClaimChange<Element>, text: Transaction): void {
    const was = new Map<string, { readonly value: string; readonly endpoint: boolean }>();
    if (before) eachElement(set, before, (name, value, endpoint) => { was.set(name, { value, endpoint }); });
    if (after) {
      this.#share(after, text);
      eachElement(set, after, (name, value) => {
        const old = was.get(name)?.value;
        was.delete(name);
        if (old === value) return;
        if (old !== undefined) text.removeElement(name, key);
        text.addElement(name, key, value);
      });
    }
    for (const [name, { endpoint }] of was) {
      if (endpoint) this.#linger(name, key);
      else text.removeElement(name, key);
    }
  }

  /** Makes the chains that it leads to, where they are missing. */
  #share({ by }: Element, text: Transaction): void {
    for (const name of by ? [by.lead.chain, by.lead.inside] : []) if (name !== undefined) this.#make(name, text);
  }

  #make(name: string, text: Transaction): void {
    if (this.#shared.has(name)) return;
    this.#shared.add(name);
    const part = sharedPart(name, this.#family);
    for (const needed of part.needs) this.#make(needed, text);
    text.share(name, part);
  }

  #linger(map: string, key: string): void {
    const keys = this.#lingering.get(map) ?? new Set();
    this.#lingering.set(map, keys.add(key));
  }
}
