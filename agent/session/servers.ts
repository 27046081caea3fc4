import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Node } from '#api/gen/types.ts';
import { nodes } from '#api/kinds/resources.ts';
import { isRecord } from '#api/meta/json.ts';
import { writeFileAtomic } from '#common/atomic-file.ts';
import { messageOf } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import type { DesiredState } from '../state/types.ts';
import { formatServerAddress, parseServerAddress, type ServerAddress } from './server-probe.ts';

/** So many are asked at once when the control plane is looked for; of a large fleet others the next time. */
const askedAtOnce = 8;
const mostTold = 16;

interface Kept {
  /** `--server`, when this was written: whoever says another one means it. */
  readonly configured: string;
  /** Where the control plane was found last. */
  readonly current: string;
  /** Where it said that it can be reached, or may be some day. */
  readonly told: readonly string[];
}

/**
 * Where the control plane may be: where the agent was told to look, where it was found last, what it said itself, and on the other
 * hosts of the fleet, for one that was restored is often on one of them. It is known by its CA, so asking the wrong one costs nothing.
 */
export class Servers {
  readonly #log: Log;
  readonly #file: string;
  readonly #state: Pick<DesiredState, 'list'>;
  #kept: Kept;
  #turn = 0;

  private constructor({ state, log }: ServersDeps, file: string, kept: Kept) {
    this.#state = state;
    this.#log = log;
    this.#file = file;
    this.#kept = kept;
  }

  static async open(deps: ServersDeps, stateDir: string, configured: string): Promise<Servers> {
    const file = join(stateDir, 'agent/servers.json');
    const kept = parse(await readFile(file, 'utf8').catch(() => ''));
    return new Servers(deps, file, { configured, current: kept?.configured === configured ? kept.current : configured, told: kept?.told ?? [] });
  }

  get current(): ServerAddress { return parseServerAddress(this.#kept.current); }

  /** It is found here from now on. */
  async use(address: ServerAddress): Promise<void> {
    await this.#keep({ ...this.#kept, current: `https://${formatServerAddress(address)}` });
  }

  /** What the control plane says of its addresses; an older one says nothing. */
  async learn(told: readonly string[]): Promise<void> {
    const good = told.filter(isServer).slice(0, mostTold);
    if (good.length === 0 || good.join() === this.#kept.told.join()) return;
    await this.#keep({ ...this.#kept, told: good });
  }

  /** Some of the other places, in turns: what it said itself comes each time. */
  elsewhere(nodeName: string): readonly ServerAddress[] {
    const { configured, current, told } = this.#kept;
    const { port } = parseServerAddress(configured);
    const first = [configured, ...told].map(parseServerAddress);
    const hosts = this.#state.list(nodes).flatMap((node) => (node.metadata?.name === nodeName ? [] : internalAddressesOf(node))).map((host) => ({ host, port }));
    const at = hosts.length === 0 ? 0 : (this.#turn++ * askedAtOnce) % hosts.length;
    const some = [...hosts.slice(at), ...hosts.slice(0, at)].slice(0, askedAtOnce);
    const here = formatServerAddress(parseServerAddress(current));
    return [...new Map([...first, ...some].map((address) => [formatServerAddress(address), address])).entries()].flatMap(([text, address]) => (text === here ? [] : [address]));
  }

  async #keep(kept: Kept): Promise<void> {
    this.#kept = kept;
    await writeFileAtomic(this.#file, JSON.stringify(kept), 0o600).catch((error: unknown) => { this.#log.warn({ file: this.#file, err: messageOf(error) }, 'where the control plane may be cannot be written down'); });
  }
}

export interface ServersDeps {
  /** The other nodes. */
  readonly state: Pick<DesiredState, 'list'>;
  readonly log: Log;
}

function internalAddressesOf({ status }: Node): string[] {
  return (status?.addresses ?? []).flatMap(({ type, address }) => (type === 'InternalIP' ? [address] : []));
}

function isServer(url: string): boolean {
  try {
    parseServerAddress(url);
    return true;
  } catch {
    return false;
  }
}

function parse(text: string): Kept | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (!isRecord(value) || typeof value['configured'] !== 'string' || typeof value['current'] !== 'string' || !Array.isArray(value['told'])) return undefined;
    const told = value['told'].filter((url): url is string => typeof url === 'string' && isServer(url));
    return isServer(value['current']) ? { configured: value['configured'], current: value['current'], told } : undefined;
  } catch {
    return undefined;
  }
}
