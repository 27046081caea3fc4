import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '#common/atomic-file.ts';
import { exec, execOk } from '#common/exec.ts';
import { messageOf } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import type { Ledger } from '#agent/node/ledger.ts';
import { addressLines, batch, mtuOf } from './links.ts';
import { tunnelDevices } from './routes.ts';
import type { PeerPlan, WireguardFacts } from './types.ts';
import { missingAddresses } from './vxlan.ts';

const port = 51_871;
const device = tunnelDevices.wireguard;
/** Outer IPv6 and UDP headers and WireGuard's own, as wg-quick reckons. */
const overhead = 80;
/** Keeps the way back through NAT open, and tells a host that has moved where to answer. */
const keepaliveSeconds = 25;
/** A handshake is made anew every two minutes while there is traffic. */
const freshSeconds = 180;

export interface WireguardConfig {
  readonly uplinkMtu: number;
  readonly bases: readonly string[];
}

/** One peer as the device must have it. */
export interface WireguardPeer {
  readonly key: string;
  readonly allowedIps: readonly string[];
  readonly endpoint?: string;
}

/** One peer as `wg show DEVICE dump` has it. */
export interface ShownPeer extends WireguardPeer {
  readonly handshakeSeconds: number;
}

export interface WireguardDeps {
  readonly ledger: Pick<Ledger, 'record'>;
  readonly log: Log;
  readonly nowSeconds: () => number;
}

/** This host's end of WireGuard tunnels: its key, its device and its peers. */
export class Wireguard {
  readonly #deps: WireguardDeps;
  readonly #keyPath: string;
  /** What this process gave each peer: where a handshake came from since then counts more. */
  readonly #given = new Map<string, string>();

  constructor(deps: WireguardDeps, { stateDirectory }: { readonly stateDirectory: string }) {
    this.#deps = deps;
    this.#keyPath = join(stateDirectory, 'agent', 'wireguard.key');
  }

  /** Whether this host can; its public key, made when there is none. The private key never leaves the host. */
  async probe(signal: AbortSignal): Promise<WireguardFacts | null> {
    const { log, ledger } = this.#deps;
    try {
      if (await mtuOf(device) === undefined) {
        await ledger.record({ kind: 'link', target: device, before: null, after: null });
        await batch('ip', [`link add ${device} type wireguard`], signal);
      }
      await execOk('wg', ['show', device, 'listen-port'], { signal });
      return { key: await this.#publicKey(), port };
    } catch (error) {
      signal.throwIfAborted();
      log.info({ why: messageOf(error), remedy: 'a kernel with WireGuard (5.6 or newer) and the package wireguard-tools' }, 'this host has no wireguard');
      return null;
    }
  }

  async sync(plans: readonly PeerPlan[], { uplinkMtu, bases }: WireguardConfig, signal: AbortSignal): Promise<void> {
    const wanted = wireguardPeers(plans);
    const present = await mtuOf(device);
    if (wanted.length === 0 && present === undefined) return;
    if (present === undefined) await batch('ip', [`link add ${device} type wireguard`], signal);
    const mtu = uplinkMtu - overhead;
    const { exitCode, stdout } = await exec('wg', ['show', device, 'dump'], { signal });
    const { listenPort, peers } = parseDump(exitCode === 0 ? stdout : '');
    if (listenPort !== port) await execOk('wg', ['set', device, 'listen-port', String(port), 'private-key', this.#keyPath], { signal });
    const args = peerArguments(wanted, peers, this.#given, this.#deps.nowSeconds());
    if (args.length > 0) {
      await execOk('wg', ['set', device, ...args], { signal });
      this.#deps.log.info({ peers: wanted.length }, 'wireguard peers changed');
    }
    for (const { key, endpoint } of wanted) if (endpoint !== undefined) this.#given.set(key, endpoint);
    const lines = addressLines(await missingAddresses(device, bases, signal), device);
    await batch('ip', [...lines, ...(present === mtu ? [] : [`link set ${device} mtu ${String(mtu)}`]), `link set ${device} up`], signal);
  }

  async #publicKey(): Promise<string> {
    const kept = (await readFile(this.#keyPath, 'utf8').catch(() => '')).trim();
    if (/^[A-Za-z0-9+/]{43}=$/.test(kept)) return publicKeyOf(kept);
    const { d = '' } = generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' });
    const key = Buffer.from(d, 'base64url').toString('base64');
    await writeFileAtomic(this.#keyPath, `${key}\n`, 0o600);
    return publicKeyOf(key);
  }
}

/** The fixed beginning of an X25519 private key in PKCS #8 (RFC 8410). */
const pkcs8 = Buffer.from('302e020100300506032b656e04220420', 'hex');

/** The public key that belongs to a private one, both as WireGuard writes them. */
export function publicKeyOf(privateKey: string): string {
  const key = createPrivateKey({ key: Buffer.concat([pkcs8, Buffer.from(privateKey, 'base64')]), format: 'der', type: 'pkcs8' });
  const { x = '' } = createPublicKey(key).export({ format: 'jwk' });
  return Buffer.from(x, 'base64url').toString('base64');
}

/** The peers that the plans come to. What is relayed goes to the one that relays. */
export function wireguardPeers(plans: readonly PeerPlan[]): WireguardPeer[] {
  return plans.flatMap((plan) => {
    if (plan.how !== 'wireguard' || plan.key === undefined) return [];
    const relayed = plans.filter((other) => other.how === 'relay' && other.relay === plan.nodeName);
    return [{ key: plan.key, allowedIps: [plan, ...relayed].flatMap(({ podCidrs }) => podCidrs), ...(plan.endpoint !== undefined && { endpoint: plan.endpoint }) }];
  });
}

/** Source: wg(8), `show INTERFACE dump`: fields separated by tabs, the device's own line first. */
export function parseDump(text: string): { readonly listenPort: number; readonly peers: readonly ShownPeer[] } {
  const [own = '', ...lines] = text.split('\n').filter(Boolean);
  const listenPort = Number(own.split('\t')[2] ?? 0);
  const peers = lines.map((line): ShownPeer => {
    const [key = '', , endpoint = '', allowed = '', handshake = '0'] = line.split('\t');
    return { key, ...(endpoint !== '(none)' && { endpoint }), allowedIps: allowed === '(none)' ? [] : allowed.split(','), handshakeSeconds: Number(handshake) };
  });
  return { listenPort, peers };
}

/**
 * Words for `wg set` that lead from `actual` to `wanted`; none when nothing is to do. An endpoint is given when it is
 * news, or when nothing was heard from where the peer was last: one that has moved is where its handshakes come from.
 */
export function peerArguments(wanted: readonly WireguardPeer[], actual: readonly ShownPeer[], given: ReadonlyMap<string, string>, nowSeconds: number): string[] {
  const args: string[] = [];
  // A range belongs to one peer: those that go must go first.
  for (const { key } of actual) if (!wanted.some((peer) => peer.key === key)) args.push('peer', key, 'remove');
  for (const { key, allowedIps, endpoint } of wanted) {
    const have = actual.find((peer) => peer.key === key);
    const fresh = have !== undefined && nowSeconds - have.handshakeSeconds < freshSeconds;
    const before = given.get(key);
    const news = endpoint !== undefined && endpoint !== have?.endpoint && (before === undefined ? !fresh : before !== endpoint || !fresh);
    const same = have !== undefined && [...have.allowedIps].sort().join() === [...allowedIps].sort().join();
    if (same && !news) continue;
    args.push('peer', key, ...(news ? ['endpoint', endpoint] : []), 'persistent-keepalive', String(keepaliveSeconds), 'allowed-ips', allowedIps.join(','));
  }
  return args;
}
