import { messageOf, StatusError } from '#common/errors.ts';
import { Claims, type ClaimChange, type Wishes } from '../../claims.ts';
import { familiesOf, type Family } from '../../families.ts';
import { layoutOf, OwnChains } from '../../iptables/own-chains.ts';
import { StaleFlows } from '../../stale-flows.ts';
import type { ProxyBackend, ProxyBackendDeps, ProxyChange, ProxyConfig, ServicePort } from '../../types.ts';
import { addressLines, batch, chainPrefix, deviceName, presentAddresses, presentServers, probe, probeSctp, removeIpvs, sysctls } from './host.ts';
import { Portals } from './portals.ts';
import { addressKind, describePort, isRuleKind, ruleset, serverKind, setNames, unorderedChains, type IpvsRulesConfig } from './rules.ts';
import { idleBackends, presentOf, serverKey, serverLines, serverValue } from './servers.ts';
import { changeSets, parseCounts, replaceSets, setName } from './sets.ts';

/** How many virtual servers to look at in one go for connections that are over. */
const sweepAtMost = 64;

/**
 * Routes Services with IPVS: a virtual server for each address and port, found by the kernel in a table of hashes, and
 * a few iptables rules over sets that do what IPVS cannot (see rules.ts). A change costs what is changed. There
 * is no transaction over all of these, so what is new is made first and what is old goes last.
 */
export class IpvsBackend implements ProxyBackend {
  readonly name = 'ipvs';
  readonly #deps: ProxyBackendDeps;
  readonly #config: ProxyConfig;
  readonly #device: string;
  readonly #portals: Portals;
  readonly #families: ReadonlyMap<Family, { readonly claims: Claims; readonly rules: IpvsRulesConfig }>;
  readonly #chains: OwnChains;
  readonly #flows: StaleFlows;
  /** Virtual server → endpoints that have gone and may have open connections. */
  readonly #draining = new Map<string, Set<string>>();
  readonly #sentinel: string | undefined;
  #applied = false;

  constructor(deps: ProxyBackendDeps, config: ProxyConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#device = deviceName(config.tableName);
    this.#portals = new Portals(config.serviceCidrs);
    const layout = layoutOf(chainPrefix(config.tableName), unorderedChains);
    this.#families = new Map(familiesOf(config).map((family) => [family, { claims: new Claims(), rules: { ...config, ...layout, set: (name) => setName(config.tableName, family, name) } }]));
    this.#chains = new OwnChains(deps.exec, chainPrefix(config.tableName), layout);
    this.#flows = new StaleFlows(deps, [...this.#families.keys()]);
    const at = this.#portals.sentinel();
    this.#sentinel = at && serverKey({ protocol: 'tcp', ...at });
  }

  async unusable(signal: AbortSignal): Promise<string | undefined> {
    try {
      return await probe(this.#deps.exec, this.#config.ipvsScheduler ?? 'rr', signal);
    } catch (error) {
      signal.throwIfAborted();
      return `IPVS cannot be tried (${messageOf(error)})`;
    }
  }

  async lacksSctp(signal: AbortSignal): Promise<string | undefined> {
    return probeSctp(this.#deps.exec, signal);
  }

  /** Compares with what the kernel has: what is right already is not touched, so no connection is lost by an agent's restart. */
  async replace(all: readonly ServicePort[], signal: AbortSignal): Promise<void> {
    this.#applied = false;
    const { tableName, serviceCidrs } = this.#config;
    await this.#deps.record('ipvs-services', `${tableName} ${serviceCidrs.join(',')}`);
    this.#draining.clear();
    const wanted = new Map<string, string>(this.#sentinel === undefined ? [] : [[this.#sentinel, serverValue({ scheduler: 'rr', affinitySeconds: 0, backends: [] })]]);
    const addresses = new Set<string>();
    for (const [family, { claims, rules }] of this.#families) {
      claims.clear();
      claims.update(all.map((port) => [port.id, describePort(port, family, rules, this.#portals)]));
      for (const key of claims.keys(serverKind)) wanted.set(key, claims.value(serverKind, key) ?? '');
      for (const ip of [...this.#portals.addresses(family), ...claims.keys(addressKind)]) addresses.add(ip);
    }
    const present = await presentServers(this.#deps.exec, this.#config, signal);
    await this.#setSysctls(signal);
    const stale = await this.#addAddresses(addresses, signal);
    await this.#batch('ipvsadm', [...wanted].flatMap(([key, value]) => this.#lines(key, present.get(key), value)), signal);
    for (const [family, { claims, rules }] of this.#families) {
      await batch(this.#deps.exec, 'ipset', replaceSets(tableName, family, (name) => claims.keys(`set ${name}`)), signal);
      await this.#chains.replace(family, () => this.#ruleset(family, claims, rules), signal);
    }
    await this.#batch('ipvsadm', [...present.keys()].filter((key) => !wanted.has(key)).map((key) => `-D ${key}`), signal);
    await batch(this.#deps.exec, 'ip', addressLines('del', stale, this.#device), signal);
    this.#applied = true;
    await this.#flows.replaced(all, signal);
  }

  async apply(change: ProxyChange, signal: AbortSignal): Promise<void> {
    if (!this.#applied) throw new StatusError('Conflict', 'nothing was applied yet; replace first');
    this.#applied = false;
    const changes: [Family, ClaimChange[]][] = [];
    for (const id of change.removed) this.#portals.release(id);
    for (const [family, { claims, rules }] of this.#families) {
      const updates: [string, Wishes | undefined][] = [...change.removed.map((id): [string, undefined] => [id, undefined]), ...change.set.map((port): [string, Wishes] => [port.id, describePort(port, family, rules, this.#portals)])];
      changes.push([family, claims.update(updates)]);
    }
    const all = changes.flatMap(([, own]) => own);
    if (all.length > 0) await this.#apply(changes, all, signal);
    this.#applied = true;
    await this.#flows.changed(change, signal);
  }

  async intact(signal: AbortSignal): Promise<boolean> {
    const { exec } = this.#deps;
    if (this.#sentinel !== undefined && (await exec('ipvsadm', ['-L', '-n', ...this.#sentinel.split(' ')], { signal })).exitCode !== 0) return false;
    const addresses = await presentAddresses(exec, this.#device, signal);
    let expected = 0;
    for (const [family, { claims }] of this.#families) expected += [...claims.keys(addressKind)].length + this.#portals.addresses(family).length;
    if (addresses?.size !== expected) return false;
    const counts = parseCounts((await exec('ipset', ['list', '-t'], { signal, maxBytes: 16 << 20 })).stdout);
    for (const [family, { claims }] of this.#families) {
      for (const name of setNames) if (counts.get(setName(this.#config.tableName, family, name)) !== [...claims.keys(`set ${name}`)].length) return false;
    }
    await this.#sweep(signal);
    return this.#chains.intact([...this.#families.keys()], signal);
  }

  async cleanup(signal: AbortSignal): Promise<void> {
    this.#applied = false;
    this.#draining.clear();
    await removeIpvs(this.#deps.exec, this.#config, signal);
    await this.#chains.cleanup(signal);
    await this.#deps.restore?.(Object.keys(sysctls), signal);
  }

  async #apply(changes: readonly (readonly [Family, readonly ClaimChange[]])[], all: readonly ClaimChange[], signal: AbortSignal): Promise<void> {
    const { exec } = this.#deps;
    const of = (kind: string, gone: boolean): ClaimChange[] => all.filter((c) => c.kind === kind && (c.after === undefined) === gone);
    const keys = (list: readonly ClaimChange[]): string[] => list.map(({ key }) => key);
    await batch(exec, 'ip', addressLines('add', keys(of(addressKind, false)), this.#device), signal);
    // The first line fails where IPVS was flushed.
    const servers = of(serverKind, false).flatMap(({ key, before, after }) => this.#lines(key, before === undefined ? undefined : presentOf(before, this.#draining.get(key) ?? []), after));
    if (this.#sentinel !== undefined) servers.unshift(`-E ${this.#sentinel} -s rr`);
    await this.#batch('ipvsadm', servers, signal);
    for (const [family, own] of changes) {
      await batch(exec, 'ipset', changeSets(this.#config.tableName, family, own), signal);
      const part = this.#families.get(family);
      if (part && own.some(({ kind }) => isRuleKind(kind))) await this.#chains.change(family, this.#ruleset(family, part.claims, part.rules), signal);
    }
    const gone = keys(of(serverKind, true));
    for (const key of gone) this.#draining.delete(key);
    await this.#batch('ipvsadm', gone.map((key) => `-D ${key}`), signal);
    await batch(exec, 'ip', addressLines('del', keys(of(addressKind, true)), this.#device), signal);
  }

  #lines(...[key, before, after]: Parameters<typeof serverLines>): readonly string[] {
    const { lines, draining } = serverLines(key, before, after);
    if (draining.length > 0) this.#draining.set(key, new Set(draining));
    else this.#draining.delete(key);
    return lines;
  }

  #ruleset(family: Family, claims: Claims, rules: IpvsRulesConfig): ReturnType<typeof ruleset> {
    return ruleset(family, rules, this.#portals, (kind) => new Map([...claims.keys(kind)].sort().map((key) => [key, claims.value(kind, key) ?? ''])));
  }

  async #batch(command: 'ipvsadm', lines: readonly string[], signal: AbortSignal): Promise<void> {
    await batch(this.#deps.exec, command, lines.map((line) => `${line}\n`).join(''), signal);
  }

  /** Makes the device where it is missing. Resolves with the addresses on it that are not wanted. */
  async #addAddresses(wanted: ReadonlySet<string>, signal: AbortSignal): Promise<string[]> {
    const { exec } = this.#deps;
    const found = await presentAddresses(exec, this.#device, signal);
    const present = found ?? new Set();
    const make = found ? '' : `link add ${this.#device} type dummy\n`;
    await batch(exec, 'ip', `${make}link set ${this.#device} up\n${addressLines('add', [...wanted].filter((ip) => !present.has(ip)), this.#device)}`, signal);
    return [...present].filter((ip) => !wanted.has(ip));
  }

  async #setSysctls(signal: AbortSignal): Promise<void> {
    for (const [name, after] of Object.entries(sysctls)) {
      const path = `/proc/sys/${name.replaceAll('.', '/')}`;
      const { exitCode, stdout } = await this.#deps.exec('cat', [path], { signal });
      const before = stdout.trim();
      if (exitCode !== 0) throw new StatusError('InternalError', `this kernel has no ${name}, which IPVS needs; choose another --proxy-mode`);
      if (before === after) continue;
      await this.#deps.record('sysctl', name, { before, after });
      const written = await this.#deps.exec('sh', ['-c', 'echo "$1" > "$2"', 'sh', after, path], { signal });
      if (written.exitCode !== 0) throw new StatusError('InternalError', `${name} cannot be set to ${after}: ${written.stderr.trim()}`);
    }
  }

  /** Lets go of endpoints whose last connection is over. */
  async #sweep(signal: AbortSignal): Promise<void> {
    for (const [key, backends] of [...this.#draining].slice(0, sweepAtMost)) {
      const { exitCode, stdout } = await this.#deps.exec('ipvsadm', ['-L', '-n', ...key.split(' ')], { signal });
      const idle = exitCode === 0 ? idleBackends(stdout).filter((backend) => backends.has(backend)) : [];
      await this.#batch('ipvsadm', idle.map((backend) => `-d ${key} -r ${backend}`), signal);
      for (const backend of idle) backends.delete(backend);
      // One that others still hold goes to the end, so that all have their turn.
      this.#draining.delete(key);
      if (backends.size > 0) this.#draining.set(key, backends);
    }
  }
}
