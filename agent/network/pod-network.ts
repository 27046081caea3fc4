import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { writeFileAtomic } from '#common/atomic-file.ts';
import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { exec, execOk } from '#common/exec.ts';
import { isAbort, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { nodes } from '#api/kinds/resources.ts';
import type { Ledger } from '#agent/node/ledger.ts';
import type { DesiredState } from '#agent/state/types.ts';
import { cniConflist } from './cni-config.ts';
import { parseRoutes, peerRoutes, peersOf, podCidrsOf, routeCommands } from './routes.ts';
import type { PodNetworkConfig, Route } from './types.ts';

export interface PodNetworkDeps {
  readonly state: DesiredState;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
}

export const podNetworkDefaults = { routeProtocol: 142, checkIntervalMs: 30_000 } as const;

/** Sorts before what installers usually write: a runtime uses the first file of its folder. */
const conflistName = '10-cleat.conflist';
const retry = { baseMs: 500, maxMs: 30_000, jitter: 0.2 } as const;

/**
 * Gives this host's pods their network: the CNI configuration from the node's pod range, forwarding, and routes to
 * the pods of every other node on the same link. One loop, woken by changes of Nodes. What it set up stays when it
 * ends. Forwarding that another program's firewall drops cannot be allowed from here (an accept in one nftables table
 * does not undo a drop in another): such a firewall is named in the log with the remedy.
 */
export class PodNetwork implements Runnable {
  readonly #deps: PodNetworkDeps;
  readonly #config: PodNetworkConfig;
  readonly #listeners = new Set<() => void>();
  #notReady: string | undefined = 'the pod network has not been set up yet';
  #wake: () => void = () => undefined;
  #changed = false;

  constructor(deps: PodNetworkDeps, config: PodNetworkConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** Why pods cannot get a network on this host; undefined when they can. */
  get notReady(): string | undefined { return this.#notReady; }

  /** Called whenever `notReady` changes. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async start(signal: AbortSignal): Promise<void> {
    const unsubscribe = this.#deps.state.subscribe((changes) => {
      if (!changes.some((c) => c.resource.plural === nodes.plural && c.resource.group === nodes.group)) return;
      this.#changed = true;
      this.#wake();
    });
    try {
      await this.#loop(signal);
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    } finally {
      unsubscribe();
    }
  }

  async #loop(signal: AbortSignal): Promise<void> {
    let failures = 0;
    let warned = false;
    while (!signal.aborted) {
      this.#changed = false;
      const failure = await this.#reconcile(signal);
      failures = failure === undefined ? 0 : failures + 1;
      if (!warned && this.#notReady === undefined) {
        warned = true;
        await this.#warnOfForeignDrop(signal);
      }
      const delayMs = failure === undefined ? this.#config.checkIntervalMs : backoffMs(retry, failures, this.#deps.random);
      if (!this.#changed) await this.#wait(delayMs, signal);
    }
  }

  /** Resolves with what failed. Pods can start once CNI is configured; a peer that cannot be reached does not forbid that. */
  async #reconcile(signal: AbortSignal): Promise<string | undefined> {
    const { state, log } = this.#deps;
    const podCidrs = podCidrsOf(state.get(nodes, undefined, this.#config.nodeName));
    if (podCidrs.length === 0) {
      this.#setNotReady(state.known
        ? `node ${this.#config.nodeName} has no pod range (spec.podCIDR) yet: the control plane assigns one when the node registers`
        : 'the pod range of this node is not known yet: the control plane has not been reached since this host joined');
      return undefined;
    }
    try {
      await this.#enableForwarding(podCidrs);
      await this.#writeConflist(podCidrs);
      this.#setNotReady(undefined);
    } catch (error) {
      this.#setNotReady(`the pod network cannot be set up: ${messageOf(error)}`);
      log.warn({ err: messageOf(error) }, 'pod network cannot be set up; retrying');
      return messageOf(error);
    }
    try {
      await this.#syncRoutes(signal);
      return undefined;
    } catch (error) {
      if (signal.aborted) throw error;
      log.warn({ err: messageOf(error) }, 'routes to other hosts cannot be set; retrying');
      return messageOf(error);
    }
  }

  async #enableForwarding(podCidrs: readonly string[]): Promise<void> {
    const names = [
      ...(podCidrs.some((c) => !c.includes(':')) ? ['net.ipv4.ip_forward'] : []),
      ...(podCidrs.some((c) => c.includes(':')) ? ['net.ipv6.conf.all.forwarding'] : []),
    ];
    for (const name of names) {
      const path = `/proc/sys/${name.replaceAll('.', '/')}`;
      const before = (await readFile(path, 'utf8')).trim();
      if (before === '1') continue;
      await this.#deps.ledger.record({ kind: 'sysctl', target: name, before, after: '1' });
      await writeFile(path, '1');
    }
  }

  async #writeConflist(podCidrs: readonly string[]): Promise<void> {
    const { stateDirectory, cniConfDir } = this.#config;
    const directory = cniConfDir ?? join(stateDirectory, 'cni', 'net.d');
    const text = cniConflist(podCidrs, join(stateDirectory, 'cni', 'data'), await uplinkMtu());
    const path = join(directory, conflistName);
    await mkdir(directory, { recursive: true });
    if (cniConfDir !== undefined) await this.#claim(directory, path);
    const present = await readFile(path, 'utf8').catch(() => undefined);
    if (present === text) return;
    await writeFileAtomic(path, text, 0o644);
    this.#deps.log.info({ podCidrs, path }, 'cni configuration written');
  }

  /** A folder that is not ours: another's configuration there is not overruled, and what we add is recorded. */
  async #claim(directory: string, path: string): Promise<void> {
    const others = (await readdir(directory)).filter((name) => /\.(conf|conflist|json)$/.test(name) && name !== conflistName).sort();
    const [first] = others;
    if (first !== undefined) throw new StatusError('Conflict', `the runtime already has a pod network in ${join(directory, first)}, and pods can have one only; remove that file, or let Cleat run its own containerd (start the agent without --runtime-endpoint)`);
    await this.#deps.ledger.record({ kind: 'file', target: path, before: null, after: 'created' });
  }

  async #syncRoutes(signal: AbortSignal): Promise<void> {
    const { state, ledger, log } = this.#deps;
    const protocol = String(this.#config.routeProtocol);
    const own = new Set(Object.values(networkInterfaces()).flatMap((list) => list ?? []).map((a) => a.address));
    const wanted = peerRoutes(peersOf(state.list(nodes), this.#config.nodeName), own);
    const serviceRoutes = await this.#serviceRoutes(own, signal);
    const problems: string[] = [];
    for (const family of ['-4', '-6'] as const) {
      const desired = [...wanted, ...serviceRoutes].filter((r) => r.destination.includes(':') === (family === '-6'));
      const shown = await exec('ip', [family, '-j', 'route', 'show', 'proto', protocol], { signal });
      const commands = routeCommands(desired, shown.exitCode === 0 ? parseRoutes(shown.stdout) : [], this.#config.routeProtocol);
      if (commands.length === 0) continue;
      await ledger.record({ kind: 'routes', target: protocol, before: null, after: null });
      const result = await exec('ip', [family, '-force', '-batch', '-'], { input: `${commands.join('\n')}\n`, signal });
      if (result.exitCode !== 0) problems.push(result.stderr.trim().slice(0, 500));
      else log.info({ commands: commands.length, routes: desired.length }, 'routes to other hosts changed');
    }
    if (problems.length > 0) throw new Error(`${problems.join('; ')} (a peer must be on the same link as this host)`);
  }

  /** A host without a default route has no way to send to a ClusterIP before it is translated: any way will do. */
  async #serviceRoutes(own: ReadonlySet<string>, signal: AbortSignal): Promise<Route[]> {
    const routes: Route[] = [];
    for (const destination of this.#config.serviceCidrs) {
      const family = destination.includes(':') ? '-6' : '-4';
      const shown = await execOk('ip', [family, '-j', 'route', 'show', 'default'], { signal });
      if (parseRoutes(shown).length > 0) continue;
      const device = deviceOf(this.#ownAddress(family), own);
      if (device !== undefined) routes.push({ destination, device });
    }
    return routes;
  }

  #ownAddress(family: '-4' | '-6'): string | undefined {
    const node = this.#deps.state.get(nodes, undefined, this.#config.nodeName);
    return node?.status?.addresses?.find((a) => a.type === 'InternalIP' && a.address.includes(':') === (family === '-6'))?.address;
  }

  async #warnOfForeignDrop(signal: AbortSignal): Promise<void> {
    try {
      const { stdout } = await exec('nft', ['list', 'chains'], { signal });
      if (!/hook forward [^\n]*policy drop/.test(stdout)) return;
      this.#deps.log.warn(
        { remedy: 'allow forwarding from and to the pod range there, e.g. iptables -I FORWARD -s POD-CIDR -j ACCEPT and -d POD-CIDR' },
        'another program drops forwarded packets by default: pods may not reach other hosts',
      );
    } catch {
      signal.throwIfAborted();
    }
  }

  #setNotReady(reason: string | undefined): void {
    if (this.#notReady === reason) return;
    this.#notReady = reason;
    for (const listener of this.#listeners) listener();
  }

  async #wait(ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const finish = (): void => {
        cancel();
        signal.removeEventListener('abort', abort);
        this.#wake = () => undefined;
      };
      const cancel = this.#deps.clock.after(ms, () => { finish(); resolve(); });
      const abort = (): void => { finish(); reject(signal.reason as Error); };
      this.#wake = () => { finish(); resolve(); };
      signal.addEventListener('abort', abort, { once: true });
    });
  }
}

function deviceOf(address: string | undefined, own: ReadonlySet<string>): string | undefined {
  if (address === undefined || !own.has(address)) return undefined;
  return Object.entries(networkInterfaces()).find(([, list]) => list?.some((a) => a.address === address))?.[0];
}

/** The smallest packet size of the links that carry a default route, so that pods never send what the host cannot. */
async function uplinkMtu(): Promise<number> {
  const routes = await readFile('/proc/net/route', 'utf8').catch(() => '');
  const devices = routes.split('\n').map((line) => line.split('\t')).filter(([, destination]) => destination === '00000000').map(([device]) => device ?? '');
  const sizes = await Promise.all(devices.map(async (device) => Number(await readFile(`/sys/class/net/${device}/mtu`, 'utf8').catch(() => '1500'))));
  const usable = sizes.filter((mtu) => mtu >= 576);
  return usable.length > 0 ? Math.min(...usable) : 1500;
}
