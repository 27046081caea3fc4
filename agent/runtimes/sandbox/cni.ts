import { access, constants, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isRecord } from '#api/meta/json.ts';
import type { Clock } from '#common/clock.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import { exec, type ExecOptions, type ExecResult } from '#common/exec.ts';

export interface CniConfig {
  /** Where the configuration is; the first file by name counts. */
  readonly confDir: string;
  /** Where the plugins may be. */
  readonly binDirs: readonly string[];
  /** Put before each plugin's command, e.g. `nsenter --net=/run/netns/x` for a host that is a network namespace. */
  readonly launcher?: readonly string[];
}

/** A CNI configuration list: plugins that are called one after the other. */
export interface CniNetwork {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly Readonly<Record<string, unknown>>[];
  readonly disableCheck?: boolean;
  readonly disableGC?: boolean;
}

/** Whom a network is given to. */
export interface CniTarget {
  readonly containerId: string;
  /** Path of the network namespace; empty when it is gone, which a removal allows. */
  readonly netns: string;
  readonly podUid: string;
  readonly podNamespace: string;
  readonly podName: string;
}

/** What is kept of a network that was given. */
interface Attachment {
  readonly network: CniNetwork;
  readonly target: CniTarget;
  /** What the last plugin answered. */
  readonly result: unknown;
}

const ifName = 'eth0';
const timeoutMs = 60_000;

/**
 * Calls CNI plugins. Source: https://github.com/containernetworking/cni/blob/main/SPEC.md, versions 0.3.0 to 1.1.0. What
 * the plugins answered is kept on disk beside the configuration until the network is given back, for DEL and CHECK are to tell them.
 */
export class Cni {
  readonly #clock: Clock;
  readonly #config: CniConfig;
  /** Networks that are being given. */
  readonly #adding = new Set<Promise<unknown>>();
  /** Settles when no plugin collects; none may while another adds. */
  #collecting: Promise<unknown> = Promise.resolve();

  constructor({ clock }: { readonly clock: Clock }, config: CniConfig) {
    this.#clock = clock;
    this.#config = config;
  }

  /** The network of this host's pods; undefined while none is configured. Rejects with `Invalid` when its file is no configuration. */
  async network(): Promise<CniNetwork | undefined> {
    const { confDir } = this.#config;
    const names = (await readdir(confDir).catch(() => [])).filter((name) => /\.(conf|conflist|json)$/.test(name)).sort();
    const [first] = names;
    if (first === undefined) return undefined;
    const path = join(confDir, first);
    try {
      return toNetwork(JSON.parse(await readFile(path, 'utf8')));
    } catch (error) {
      throw new StatusError('Invalid', `${path} is no CNI configuration, so pods get no network; mend or remove it`, { cause: error });
    }
  }

  /** Connects a network namespace; resolves with its addresses. What fails half-way is for `remove` to take back. */
  async add(network: CniNetwork, target: CniTarget, signal: AbortSignal): Promise<string[]> {
    await this.#collecting;
    const added = this.#add(network, target, signal);
    const settled = added.catch(() => undefined).then(() => { this.#adding.delete(settled); });
    this.#adding.add(settled);
    return added;
  }

  async #add(network: CniNetwork, target: CniTarget, signal: AbortSignal): Promise<string[]> {
    let result: unknown;
    for (const plugin of network.plugins) result = await this.#call('ADD', network, plugin, target, result, signal) ?? result;
    await mkdir(this.#results, { recursive: true, mode: 0o700 });
    await writeFile(this.#resultOf(target), JSON.stringify({ network, target, result: result ?? null } satisfies Attachment), { mode: 0o600 });
    const ips = isRecord(result) && Array.isArray(result['ips']) ? result['ips'] : [];
    const addresses = ips.flatMap((ip: unknown) => (isRecord(ip) && typeof ip['address'] === 'string' ? [ip['address'].replace(/\/\d+$/, '')] : []));
    if (addresses.length === 0) throw new StatusError('InternalError', `the CNI plugins of network ${network.name} (${network.plugins.map(({ type }) => String(type)).join(', ')}) gave the pod no address; check its configuration in ${this.#config.confDir}`);
    return addresses;
  }

  /** Gives links and addresses back. Idempotent. */
  async remove(network: CniNetwork, target: CniTarget, signal: AbortSignal): Promise<void> {
    const result = await this.#kept(network, target);
    for (const plugin of network.plugins.toReversed()) await this.#call('DEL', network, plugin, target, result, signal);
    await rm(this.#resultOf(target), { force: true });
  }

  /** Rejects with what a plugin says is no longer as it made it. Nothing is looked at where the configuration forbids it, or is older than the command. */
  async check(network: CniNetwork, target: CniTarget, signal: AbortSignal): Promise<void> {
    const result = await this.#kept(network, target);
    if (network.disableCheck === true || result === undefined || older(network.cniVersion, '0.4.0')) return;
    for (const plugin of network.plugins) await this.#call('CHECK', network, plugin, target, result, signal);
  }

  /**
   * Gives back what belongs to nobody: what is kept here of containers that are not among `valid`, and, from version 1.1.0 on, what
   * plugins themselves find (GC). `valid` is asked when nobody is being given a network; it has to include those that are about to be.
   */
  async collect(valid: () => Promise<ReadonlySet<string>>, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    await this.#collecting;
    this.#collecting = promise;
    try {
      await Promise.all(this.#adding);
      await this.#collect(await valid(), signal);
    } finally {
      resolve();
    }
  }

  async #collect(valid: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    const failures: unknown[] = [];
    const all = async (work: Promise<unknown>): Promise<void> => { await work.catch((error: unknown) => failures.push(error)); };
    for (const name of await readdir(this.#results).catch(() => [])) {
      const kept = await this.#attachment(join(this.#results, name));
      if (kept && !valid.has(kept.target.containerId)) await all(this.remove(kept.network, { ...kept.target, netns: '' }, signal));
    }
    const network = await this.network();
    if (network && network.disableGC !== true && !older(network.cniVersion, '1.1.0')) {
      const attachments = { 'cni.dev/valid-attachments': [...valid].map((containerID) => ({ containerID, ifname: ifName })) };
      for (const plugin of network.plugins) await all(this.#call('GC', network, { ...plugin, ...attachments }, undefined, undefined, signal));
    }
    signal.throwIfAborted();
    if (failures.length > 0) throw failures[0];
  }

  get #results(): string { return join(this.#config.confDir, '..', 'results'); }

  #resultOf({ containerId }: CniTarget): string { return join(this.#results, `${containerId}-${ifName}.json`); }

  /** Undefined where there is none, and for versions that knew of none. */
  async #kept({ cniVersion }: CniNetwork, target: CniTarget): Promise<unknown> {
    if (older(cniVersion, '0.4.0')) return undefined;
    return (await this.#attachment(this.#resultOf(target)))?.result ?? undefined;
  }

  async #attachment(path: string): Promise<Attachment | undefined> {
    const value = parsed(await readFile(path, 'utf8').catch(() => ''));
    return isRecord(value) && isRecord(value['network']) && isRecord(value['target']) ? value as unknown as Attachment : undefined;
  }

  async #call(command: 'ADD' | 'CHECK' | 'DEL' | 'GC', network: CniNetwork, plugin: Readonly<Record<string, unknown>>, target: CniTarget | undefined, prevResult: unknown, signal: AbortSignal): Promise<unknown> {
    const { launcher = [], binDirs } = this.#config;
    const type = typeof plugin['type'] === 'string' ? plugin['type'] : '';
    const [program, ...args] = [...launcher, await this.#find(type)];
    const { exitCode, stdout, stderr } = await this.#exec(type, command, program, args, {
      input: JSON.stringify({ ...plugin, cniVersion: network.cniVersion, name: network.name, ...(prevResult !== undefined && { prevResult }) }),
      env: { CNI_COMMAND: command, CNI_PATH: binDirs.join(':'), ...(target && {
        CNI_CONTAINERID: target.containerId, CNI_NETNS: target.netns, CNI_IFNAME: ifName,
        CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${target.podNamespace};K8S_POD_NAME=${target.podName};K8S_POD_UID=${target.podUid};K8S_POD_INFRA_CONTAINER_ID=${target.containerId}`,
      }) },
      signal,
    });
    const answer = parsed(stdout);
    if (exitCode === 0) return answer;
    const words = isRecord(answer) ? [answer['msg'], answer['details']].filter((text) => typeof text === 'string' && text !== '').join(': ') : '';
    throw new StatusError('InternalError', `the CNI plugin ${type} of network ${network.name} failed (${command}): ${words || stderr.trim().slice(0, 1000) || `exit code ${String(exitCode)}`}`);
  }

  async #exec(type: string, command: string, program: string, args: readonly string[], options: ExecOptions): Promise<ExecResult> {
    try {
      return await exec(program, args, { ...options, timeoutMs, clock: this.#clock });
    } catch (error) {
      if (!isStatus(error, 'Timeout')) throw error;
      throw new StatusError('Timeout', `the CNI plugin ${type} did not end within ${String(timeoutMs / 1000)} s (${command}); check what it waits for`, { cause: error });
    }
  }

  async #find(type: string): Promise<string> {
    if (!/^[\w.-]+$/.test(type)) throw new StatusError('Invalid', `${JSON.stringify(type)} is no name of a CNI plugin`);
    for (const dir of this.#config.binDirs) {
      const path = join(dir, type);
      if (await access(path, constants.X_OK).then(() => true, () => false)) return path;
    }
    throw new StatusError('InternalError', `the CNI plugin ${type} is not in ${this.#config.binDirs.join(' or ')}, so pods get no network; install the plugins (Debian and Ubuntu: apt-get install containernetworking-plugins)`);
  }
}

function toNetwork(value: unknown): CniNetwork {
  if (!isRecord(value) || typeof value['name'] !== 'string') throw new TypeError('a name is missing');
  const cniVersion = typeof value['cniVersion'] === 'string' ? value['cniVersion'] : '0.3.1';
  const plugins = Array.isArray(value['plugins']) ? value['plugins'].filter(isRecord) : [value];
  if (plugins.length === 0) throw new TypeError('there are no plugins');
  return { cniVersion, name: value['name'], plugins, ...(value['disableCheck'] === true && { disableCheck: true }), ...(value['disableGC'] === true && { disableGC: true }) };
}

function older(version: string, than: string): boolean {
  const [a, b] = [version, than].map((text) => text.split('.').map(Number));
  const i = (a ?? []).findIndex((part, at) => part !== b?.[at]);
  return i >= 0 && (a?.[i] ?? 0) < (b?.[i] ?? 0);
}

function parsed(text: string): unknown {
  try {
    return text.trim() === '' ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
