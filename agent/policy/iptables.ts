import { messageOf, StatusError } from '#common/errors.ts';
import type { Exec } from '#common/exec.ts';
import { removeChains } from '#agent/proxy/iptables/commands.ts';
import { layoutOf, OwnChains } from '#agent/proxy/iptables/own-chains.ts';
import { growSets, presentSets, replaceSets, restoreSets, shrinkSets } from './ip-sets.ts';
import { policyJumps, setNameOf, setPrefix, translate, unorderedChains, type IptablesNames, type Translation } from './iptables-rules.ts';
import { families, groupPiece } from './rules.ts';
import type { Family, PolicyBackend, Ruleset } from './types.ts';

export interface IptablesPolicyDeps {
  readonly exec: Exec;
  /** Notes the prefix for uninstalling, before anything is first made. */
  readonly record: (prefix: string) => Promise<void>;
}

const wordOf = { 4: 'ip', 6: 'ip6' } as const;
const nothing: Translation = { mangle: new Map(), sets: new Map() };

/**
 * Policies for hosts without nft: chains of our own in the mangle table, either flavour, and sets of ipset. Works whatever routes
 * the Services. The sets are not changed at once with the chains: what is allowed newly comes first, and what is not any more goes last.
 */
export class IptablesPolicies implements PolicyBackend {
  readonly #deps: IptablesPolicyDeps;
  readonly #prefix: string;
  readonly #names: IptablesNames;
  readonly #chains: OwnChains;
  /** Of the kernel; IPv6 is missing on some hosts. */
  #families: readonly Family[] = [4];
  #applied: ReadonlyMap<Family, Translation> | undefined;

  constructor(deps: IptablesPolicyDeps, { prefix }: { readonly prefix: string }) {
    this.#deps = deps;
    this.#prefix = prefix;
    this.#names = namesOf(prefix);
    this.#chains = new OwnChains(deps.exec, prefix, this.#names);
  }

  async unusable(signal: AbortSignal): Promise<string | undefined> {
    try {
      const [four, six] = [await this.#refusal(4, signal), await this.#refusal(6, signal)];
      this.#families = six === undefined ? families : [4];
      return four === undefined ? undefined : `this kernel, iptables or ipset lacks what network policies need (${four}); needed are the mangle table, addrtype, conntrack and set matches, and sets hash:ip, hash:ip,port and hash:net`;
    } catch (error) {
      signal.throwIfAborted();
      return `iptables or ipset cannot be run (${messageOf(error)}); install the nftables package, or iptables and ipset (Debian: apt-get install nftables)`;
    }
  }

  async replace(rules: Ruleset, signal: AbortSignal): Promise<void> {
    this.#applied = undefined;
    await this.#deps.record(this.#prefix);
    const applied = this.#translate(rules);
    for (const [family, { mangle, sets }] of applied) {
      await restoreSets(this.#deps.exec, replaceSets(sets, family), signal);
      await this.#chains.replace(wordOf[family], () => ({ mangle }), signal);
      await this.#destroy(family, (name) => !sets.has(name), signal);
    }
    this.#applied = applied;
  }

  async apply(rules: Ruleset, signal: AbortSignal): Promise<void> {
    const before = this.#applied;
    if (!before) throw new StatusError('Conflict', 'nothing was applied yet; replace first');
    this.#applied = undefined;
    const applied = this.#translate(rules);
    for (const [family, after] of applied) {
      const was = before.get(family) ?? nothing;
      await restoreSets(this.#deps.exec, growSets(was.sets, after.sets, family), signal);
      await this.#chains.change(wordOf[family], { mangle: after.mangle }, signal);
      await restoreSets(this.#deps.exec, shrinkSets(was.sets, after.sets), signal);
    }
    this.#applied = applied;
  }

  async intact(signal: AbortSignal): Promise<boolean> {
    for (const family of this.#families) {
      const present = new Set(await presentSets(this.#deps.exec, setPrefix(this.#prefix, family), signal));
      for (const name of this.#applied?.get(family)?.sets.keys() ?? []) if (!present.has(name)) return false;
    }
    return this.#chains.intact(this.#families.map((family) => wordOf[family]), signal);
  }

  async cleanup(signal: AbortSignal): Promise<void> {
    this.#applied = undefined;
    await removePolicies(this.#deps.exec, this.#prefix, signal);
  }

  #translate(rules: Ruleset): ReadonlyMap<Family, Translation> {
    const six = [...rules.values()].some(({ elements }) => (elements.get('in6')?.size ?? 0) + (elements.get('out6')?.size ?? 0) > 0);
    if (six && !this.#families.includes(6)) throw new StatusError('ServiceUnavailable', 'pods here have IPv6 addresses, but ip6tables cannot hold them to network policies; install the nftables package (Debian: apt-get install nftables)');
    return new Map(this.#families.map((family) => [family, translate(rules, family, this.#names)]));
  }

  async #destroy(family: Family, stale: (name: string) => boolean, signal: AbortSignal): Promise<void> {
    const present = await presentSets(this.#deps.exec, setPrefix(this.#prefix, family), signal);
    await restoreSets(this.#deps.exec, present.filter(stale).map((name) => `destroy ${name}\n`).join(''), signal);
  }

  /** Tries everything that rules may use. Resolves with what is wrong, in words. */
  async #refusal(family: Family, signal: AbortSignal): Promise<string | undefined> {
    const { exec } = this.#deps;
    const prefix = `${this.#prefix}-P`;
    const block = { cidr: family === 4 ? '192.0.2.0/24' : '2001:db8::/32', except: [family === 4 ? '192.0.2.0/25' : '2001:db8::/33'] };
    const probe: Ruleset = new Map([['probe', {
      ...groupPiece('probe', [], ['web']),
      chains: new Map([['probe', [
        { family, peer: { side: 'source', set: `group${String(family)}/probe` }, protocol: 'tcp', ports: { from: 1, to: 2 }, verdict: 'accept' },
        { family, peer: { side: 'source', block }, verdict: 'accept' }, { family, protocol: 'udp', endpoints: `ports${String(family)}/probe/web`, verdict: 'accept' }, { verdict: 'drop' },
      ]]]),
      elements: new Map([[`in${String(family)}`, new Set([`${family === 4 ? '192.0.2.1' : '2001:db8::1'} : goto probe`])]]),
    }]]);
    const names = namesOf(prefix);
    const { mangle, sets } = translate(probe, family, names);
    try {
      await restoreSets(exec, replaceSets(sets, family), signal);
      return await new OwnChains(exec, prefix, names).refusal(wordOf[family], { mangle }, signal);
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      return error.message;
    } finally {
      for (const name of sets.keys()) await exec('ipset', ['destroy', name], { signal }).catch(() => undefined);
    }
  }
}

function namesOf(prefix: string): IptablesNames {
  return { ...layoutOf(prefix, unorderedChains), jumps: policyJumps, set: (family, about) => setNameOf(prefix, family, about) };
}

/** Resolves with whether there was anything to remove. */
export async function removePolicies(exec: Exec, prefix: string, signal?: AbortSignal): Promise<boolean> {
  let found = false;
  for (const family of families) {
    // A host without IPv6 may lack its command.
    found = await removeChains(exec, `${wordOf[family]}tables`, prefix, signal, { jumps: policyJumps }).catch((error: unknown) => {
      if (family === 6) return false;
      throw error;
    }) || found;
    const sets = await presentSets(exec, setPrefix(prefix, family), signal);
    await restoreSets(exec, sets.map((name) => `destroy ${name}\n`).join(''), signal);
    found ||= sets.length > 0;
  }
  return found;
}
