import { hash, randomBytes } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { StatusError } from '#common/errors.ts';
import type { Family } from '../families.ts';
import type { ProxyBackendDeps } from '../types.ts';
import { lockSeconds, presentChains, removeChains, restore } from './commands.ts';
import { jumpsOf, tablesOf, type ChainLayout, type Tables } from './layout.ts';
import { changeText, replaceText, stateChain } from './restore.ts';

const maxChainLetters = 28;

export interface NamedLayout extends ChainLayout {
  /** What a service port calls a chain of its own: `kind` and something short and unique for `id`. Without the prefix, too. */
  readonly own: (kind: string, id: string) => string;
}

/** Chains that begin with `prefix`, which no other owner's may. */
export function layoutOf(prefix: string, unordered: ReadonlySet<string>): NamedLayout {
  return {
    unordered,
    chain: (name) => `${prefix}-${name}`,
    own: (kind, id) => `${kind}-${hash('sha256', id, 'hex').toUpperCase().slice(0, maxChainLetters - prefix.length - kind.length - 2)}`,
  };
}

export function commandOf(family: Family): string {
  return family === 'ip' ? 'iptables' : 'ip6tables';
}

/** The chains of one owner as the kernel was last given them; each table is changed by one `iptables-restore --noflush`. */
export class OwnChains {
  readonly #exec: ProxyBackendDeps['exec'];
  readonly #prefix: string;
  readonly #layout: ChainLayout;
  /** By family: what the kernel was last given, and the name of that. */
  readonly #applied = new Map<Family, { readonly rules: Tables; readonly generation: string }>();

  constructor(exec: ProxyBackendDeps['exec'], prefix: string, layout: ChainLayout) {
    this.#exec = exec;
    this.#prefix = prefix;
    this.#layout = layout;
  }

  /** Puts what `render` says in the place of whatever is there. It works while the host is looked at. */
  async replace(family: Family, render: () => Tables, signal: AbortSignal): Promise<void> {
    const generation = newGeneration();
    const looking = presentChains(this.#exec, commandOf(family), this.#prefix, signal);
    const [present, rules] = await Promise.all([looking, nextTurn().then(render)]);
    await this.#restore(family, replaceText(rules, present, generation, this.#layout), signal);
    this.#applied.set(family, { rules, generation });
  }

  /** Leads from what was last given to `rules`. Rejects when that is not there any more. */
  async change(family: Family, rules: Tables, signal: AbortSignal): Promise<void> {
    const before = this.#applied.get(family);
    if (!before) throw new StatusError('Conflict', 'nothing was applied yet; replace first');
    const generation = newGeneration();
    const text = changeText(before.rules, rules, { before: before.generation, after: generation }, this.#layout);
    if (text === '') return;
    await this.#restore(family, text, signal);
    this.#applied.set(family, { rules, generation });
  }

  /** What keeps these rules from being taken, in the command's words; undefined when nothing does. */
  async refusal(family: Family, rules: Tables, signal: AbortSignal): Promise<string | undefined> {
    const text = replaceText(rules, {}, 'probe', this.#layout);
    const { exitCode, stderr } = await this.#exec(`${commandOf(family)}-restore`, ['--test', '--noflush', '-w', lockSeconds], { input: text, signal });
    return exitCode === 0 ? undefined : stderr.trim().split('\n')[0] ?? '';
  }

  /** False when another program removed or replaced chains or the jumps to them. */
  async intact(families: readonly Family[], signal: AbortSignal): Promise<boolean> {
    for (const family of families) {
      for (const table of tablesOf(this.#layout)) {
        const state = await this.#list(family, table, this.#layout.chain(stateChain), signal);
        if (!state.includes(this.#applied.get(family)?.generation ?? 'nothing')) return false;
        for (const [of, builtin, , chain] of jumpsOf(this.#layout)) {
          if (of === table && !(await this.#list(family, table, builtin, signal)).includes(`-j ${this.#layout.chain(chain)}\n`)) return false;
        }
      }
    }
    return true;
  }

  /** Removes them in both families: an earlier life may have used the other one. */
  async cleanup(signal: AbortSignal): Promise<void> {
    for (const family of ['ip', 'ip6'] as const) await removeChains(this.#exec, commandOf(family), this.#prefix, signal, this.#layout);
    this.#applied.clear();
  }

  async #list(family: Family, table: string, chain: string, signal: AbortSignal): Promise<string> {
    const { exitCode, stdout } = await this.#exec(commandOf(family), ['-w', lockSeconds, '-t', table, '-S', chain], { signal });
    return exitCode === 0 ? stdout : '';
  }

  async #restore(family: Family, text: string, signal: AbortSignal): Promise<void> {
    try {
      await restore(this.#exec, commandOf(family), text, signal);
    } catch (error) {
      this.#applied.clear();
      throw error;
    }
  }
}

/** Names one state of the rules, so that a change is made on that state or not at all. */
function newGeneration(): string {
  return randomBytes(8).toString('hex');
}
