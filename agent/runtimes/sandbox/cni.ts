import { access, constants, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isRecord } from '#api/meta/json.ts';
import { StatusError } from '#common/errors.ts';
import { exec } from '#common/exec.ts';

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

const ifName = 'eth0';
const timeoutMs = 60_000;

/** Calls CNI plugins. Source: https://github.com/containernetworking/cni/blob/main/SPEC.md, versions 0.3.0 to 1.0.0. */
export class Cni {
  readonly #config: CniConfig;

  constructor(config: CniConfig) {
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
    let result: unknown;
    for (const plugin of network.plugins) result = await this.#call('ADD', network, plugin, target, result, signal) ?? result;
    const ips = isRecord(result) && Array.isArray(result['ips']) ? result['ips'] : [];
    return ips.flatMap((ip: unknown) => (isRecord(ip) && typeof ip['address'] === 'string' ? [ip['address'].replace(/\/\d+$/, '')] : []));
  }

  /** Gives links and addresses back. Idempotent. */
  async remove(network: CniNetwork, target: CniTarget, signal: AbortSignal): Promise<void> {
    for (const plugin of network.plugins.toReversed()) await this.#call('DEL', network, plugin, target, undefined, signal);
  }

  async #call(command: 'ADD' | 'DEL', network: CniNetwork, plugin: Readonly<Record<string, unknown>>, target: CniTarget, prevResult: unknown, signal: AbortSignal): Promise<unknown> {
    const { launcher = [], binDirs } = this.#config;
    const type = typeof plugin['type'] === 'string' ? plugin['type'] : '';
    const [program, ...args] = [...launcher, await this.#find(type)];
    const { exitCode, stdout, stderr } = await exec(program, args, {
      input: JSON.stringify({ ...plugin, cniVersion: network.cniVersion, name: network.name, ...(prevResult !== undefined && { prevResult }) }),
      env: {
        CNI_COMMAND: command, CNI_CONTAINERID: target.containerId, CNI_NETNS: target.netns, CNI_IFNAME: ifName, CNI_PATH: binDirs.join(':'),
        CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${target.podNamespace};K8S_POD_NAME=${target.podName};K8S_POD_UID=${target.podUid};K8S_POD_INFRA_CONTAINER_ID=${target.containerId}`,
      },
      timeoutMs, signal,
    });
    const answer = parsed(stdout);
    if (exitCode === 0) return answer;
    const words = isRecord(answer) ? [answer['msg'], answer['details']].filter((text) => typeof text === 'string' && text !== '').join(': ') : '';
    throw new StatusError('InternalError', `the CNI plugin ${type} of network ${network.name} failed (${command}): ${words || stderr.trim().slice(0, 1000) || `exit code ${String(exitCode)}`}`);
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
  return { cniVersion, name: value['name'], plugins };
}

function parsed(text: string): unknown {
  try {
    return text.trim() === '' ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
