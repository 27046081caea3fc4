import { messageOf, StatusError } from '#common/errors.ts';
import type { Exec } from '#common/exec.ts';
import { families, type Direction } from './rules.ts';
import type { Family, Piece, PolicyBackend, Rule, Ruleset, SetType } from './types.ts';

export interface NftablesPolicyDeps {
  readonly exec: Exec;
  /** Notes the table (`FAMILY NAME`) for uninstalling, before it is first made. */
  readonly record: (table: string) => Promise<void>;
}

const transactionTimeoutMs = 60_000;

/** Policies in a table of our own, changed by one `nft -f -` each time. Works whatever routes the Services. */
export class NftablesPolicies implements PolicyBackend {
  readonly #deps: NftablesPolicyDeps;
  readonly #table: string;
  #applied: Ruleset | undefined;

  constructor(deps: NftablesPolicyDeps, { table }: { readonly table: string }) {
    this.#deps = deps;
    this.#table = table;
  }

  async unusable(signal: AbortSignal): Promise<string | undefined> {
    try {
      const { exitCode, stderr } = await this.#deps.exec('nft', ['-c', '-f', '-'], { input: baseRules(`${this.#table}-probe`), signal });
      if (exitCode === 0) return undefined;
      return `this kernel or nft lacks a feature that network policies need (${stderr.trim().split('\n')[0] ?? ''}); needed are nft 1.0 and Linux 5.10 with nf_tables, conntrack and fib (CONFIG_NFT_CT, CONFIG_NFT_FIB_INET)`;
    } catch (error) {
      signal.throwIfAborted();
      return `nft cannot be run (${messageOf(error)}); install the nftables package (Debian: apt-get install nftables)`;
    }
  }

  async replace(rules: Ruleset, signal: AbortSignal): Promise<void> {
    const table = `inet ${this.#table}`;
    await this.#deps.record(table);
    await this.#run(`add table ${table}\ndelete table ${table}\n${baseRules(this.#table)}${changeText(table, new Map(), rules)}`, signal);
    this.#applied = rules;
  }

  async apply(rules: Ruleset, signal: AbortSignal): Promise<void> {
    if (!this.#applied) throw new StatusError('Conflict', 'nothing was applied yet; replace first');
    const text = changeText(`inet ${this.#table}`, this.#applied, rules);
    if (text !== '') await this.#run(text, signal);
    this.#applied = rules;
  }

  async intact(signal: AbortSignal): Promise<boolean> {
    // Rules that can be added only while those of before are all there: tried, not done.
    const input = [...baseChains()].map(([name, { rules }]) => `add rule inet ${this.#table} ${name} index ${String(rules.length - 1)} accept\n`).join('');
    return (await this.#deps.exec('nft', ['-c', '-f', '-'], { input, signal })).exitCode === 0;
  }

  async cleanup(signal: AbortSignal): Promise<void> {
    this.#applied = undefined;
    const table = `inet ${this.#table}`;
    // Making it first lets the removal of what is not there succeed.
    await this.#run(`add table ${table}\ndelete table ${table}\n`, signal);
  }

  async #run(text: string, signal: AbortSignal): Promise<void> {
    const { exitCode, stderr } = await this.#deps.exec('nft', ['-f', '-'], { input: text, signal, timeoutMs: transactionTimeoutMs });
    if (exitCode === 0) return;
    this.#applied = undefined;
    throw new StatusError('InternalError', `nft refused the rules of network policies: ${stderr.trim().slice(0, 1000)}`);
  }
}

/** The chains that the kernel enters. Accepting ends one of them only. */
function baseChains(): ReadonlyMap<string, { readonly hook: string; readonly rules: readonly string[] }> {
  const decide = (direction: Direction): string[] => {
    const side = direction === 'in' ? 'daddr' : 'saddr';
    return ['ct state established,related accept', 'ip saddr . ip daddr @self4 accept', 'ip6 saddr . ip6 daddr @self6 accept', `ip ${side} vmap @${direction}4`, `ip6 ${side} vmap @${direction}6`];
  };
  const chain = (hook: string, direction: Direction, before: readonly string[] = []) => [`${hook}-${direction}`, { hook: `type filter hook ${hook} priority ${direction === 'out' ? '-6' : '-5'}; policy accept;`, rules: [...before, ...decide(direction)] }] as const;
  // A balancer in the kernel (ipvs) sends what came from elsewhere like something of the host's own.
  const own = ['fib saddr type local accept'];
  return new Map([chain('forward', 'out'), chain('forward', 'in'), chain('output', 'out', own), chain('output', 'in', own)]);
}

/** The part that does not depend on policies. */
function baseRules(table: string): string {
  const sets = families.flatMap((family) => [
    ...['in', 'out'].map((direction) => `map ${direction}${String(family)} { type ${addressType(family)} : verdict; }`), `set self${String(family)} { type ${addressType(family)} . ${addressType(family)}; }`,
  ]);
  const chains = [...baseChains()].map(([name, { hook, rules }]) => `chain ${name} {\n${[hook, ...rules].map((line) => `    ${line}\n`).join('')}  }`);
  return `table inet ${table} {\n${[...sets, ...chains].map((line) => `  ${line}\n`).join('')}}\n`;
}

export function ruleText({ family = 4, peer, protocol, ports, endpoints, verdict }: Rule): string {
  const word = family === 4 ? 'ip' : 'ip6';
  const outcome = typeof verdict === 'string' ? verdict : `jump ${verdict.jump}`;
  return [
    ...(peer ? peerText(peer, word, family) : []),
    ...(protocol === undefined ? [] : [`meta l4proto ${protocol}`]),
    ...(ports ? [`th dport ${String(ports.from)}${ports.to === ports.from ? '' : `-${String(ports.to)}`}`] : []),
    ...(endpoints === undefined ? [] : [`${word} daddr . meta l4proto . th dport @${endpoints}`]),
    outcome,
  ].join(' ');
}

function peerText(peer: NonNullable<Rule['peer']>, word: string, family: Family): string[] {
  const side = `${word} ${peer.side === 'source' ? 'saddr' : 'daddr'}`;
  if ('set' in peer) return [`${side} @${peer.set}`];
  const { cidr, except = [] } = peer.block;
  return [cidr.endsWith('/0') ? `meta nfproto ipv${String(family)}` : `${side} ${cidr}`, ...except.map((range) => `${side} != ${range}`)];
}

function setText({ family, of }: SetType): string {
  return `{ type ${addressType(family)}${of === 'endpoints' ? ' . inet_proto . inet_service' : ''}; }`;
}

function addressType(family: Family): string {
  return `ipv${String(family)}_addr`;
}

/** Commands in the order in which nothing refers to what is not there yet or no more; empty when nothing changes. */
export function changeText(table: string, before: Ruleset, after: Ruleset): string {
  const text = new Commands(table);
  for (const [name, piece] of after) if (before.get(name) !== piece) text.change(before.get(name) ?? empty, piece);
  for (const [name, piece] of before) if (!after.has(name)) text.change(piece, empty);
  return text.toString();
}

const empty: Piece = { chains: new Map(), sets: new Map(), elements: new Map() };

class Commands {
  readonly #table: string;
  readonly #unset: string[] = [];
  readonly #made: string[] = [];
  readonly #rules: string[] = [];
  readonly #set: string[] = [];
  readonly #gone: string[] = [];

  constructor(table: string) {
    this.#table = table;
  }

  change(before: Piece, after: Piece): void {
    for (const [name, type] of after.sets) if (!before.sets.has(name)) this.#made.push(`add set ${this.#table} ${name} ${setText(type)}`);
    for (const [name, rules] of after.chains) this.#chain(name, before.chains.get(name), rules);
    for (const name of before.chains.keys()) {
      if (after.chains.has(name)) continue;
      this.#rules.push(`flush chain ${this.#table} ${name}`);
      this.#gone.push(`delete chain ${this.#table} ${name}`);
    }
    for (const set of new Set([...before.elements.keys(), ...after.elements.keys()])) {
      const [was, is] = [before.elements.get(set) ?? new Set<string>(), after.elements.get(set) ?? new Set<string>()];
      const added = [...is].filter((element) => !was.has(element));
      if (added.length > 0) this.#set.push(`add element ${this.#table} ${set} { ${added.join(', ')} }`);
      // A set that goes takes its elements along.
      const removed = before.sets.has(set) && !after.sets.has(set) ? [] : [...was].filter((element) => !is.has(element)).map((element) => element.split(' : ')[0] ?? '');
      if (removed.length > 0) this.#unset.push(`delete element ${this.#table} ${set} { ${removed.join(', ')} }`);
    }
    for (const name of before.sets.keys()) if (!after.sets.has(name)) this.#gone.push(`delete set ${this.#table} ${name}`);
  }

  #chain(name: string, before: readonly Rule[] | undefined, rules: readonly Rule[]): void {
    const after = rules.map(ruleText);
    if (before?.map(ruleText).join('\n') === after.join('\n')) return;
    if (before === undefined) this.#made.push(`add chain ${this.#table} ${name}`);
    else this.#rules.push(`flush chain ${this.#table} ${name}`);
    for (const rule of after) this.#rules.push(`add rule ${this.#table} ${name} ${rule}`);
  }

  toString(): string {
    // Chains before sets among what goes: rules refer to sets.
    const gone = this.#gone.sort((a, b) => Number(b.startsWith('delete chain')) - Number(a.startsWith('delete chain')));
    const lines = [...this.#unset, ...this.#made, ...this.#rules, ...this.#set, ...gone];
    return lines.map((line) => `${line}\n`).join('');
  }
}
