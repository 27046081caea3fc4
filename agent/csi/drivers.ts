import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { TaskGroup } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import type { CsiCall, PluginInfo } from './contract.ts';
import type { Driver } from './types.ts';

export interface DriversDeps {
  readonly call: CsiCall;
  readonly clock: Clock;
  readonly log: Log;
  /** Called when drivers have come, changed or gone. */
  readonly changed: () => void;
}

const infoMs = 10_000;
/** Some ask a cloud who they are. */
const nodeInfoMs = 120_000;
const retry = { baseMs: 500, maxMs: 60_000, jitter: 0.2 };
const driverName = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$/;
const maxTopology = 64;

/** The kubelet's side of plugin registration: each socket in the folder is asked who serves it, and told what came of it. */
export class Drivers {
  readonly #deps: DriversDeps;
  readonly #folder: string;
  readonly #tasks: TaskGroup;
  /** By socket: which one it is, and how to stop following it. */
  readonly #sockets = new Map<string, { readonly identity: string; readonly stop: AbortController }>();
  /** By name: the driver and the socket by which it registered. */
  readonly #drivers = new Map<string, { readonly driver: Driver; readonly socket: string }>();
  readonly #gone = new Set<string>();

  constructor(deps: DriversDeps, folder: string) {
    this.#deps = deps;
    this.#folder = folder;
    this.#tasks = new TaskGroup(deps.log);
  }

  get(name: string): Driver | undefined { return this.#drivers.get(name)?.driver; }
  all(): readonly Driver[] { return [...this.#drivers.values()].map(({ driver }) => driver).sort((a, b) => (a.name < b.name ? -1 : 1)); }
  get gone(): readonly string[] { return [...this.#gone].sort(); }

  drain(): Promise<void> { return this.#tasks.drain(); }

  /** Looks at the folder: sockets that have come are followed, those that have gone, or are others by now, are not any more. */
  async look(signal: AbortSignal): Promise<void> {
    const found = new Map<string, string>();
    for (const name of await readdir(this.#folder).catch(() => [])) {
      const path = join(this.#folder, name);
      const file = await stat(path).catch(() => undefined);
      if (!name.startsWith('.') && file?.isSocket() === true) found.set(path, `${String(file.ino)} ${String(file.ctimeMs)}`);
    }
    for (const [path, { identity, stop }] of this.#sockets) {
      if (found.get(path) === identity) continue;
      stop.abort(new Error('the socket is gone'));
      this.#sockets.delete(path);
      if (!found.has(path)) this.#lose(path);
    }
    for (const [path, identity] of found) {
      if (this.#sockets.has(path)) continue;
      const stop = new AbortController();
      this.#sockets.set(path, { identity, stop });
      const both = AbortSignal.any([signal, stop.signal]);
      this.#tasks.run('csi driver', both, () => this.#follow(path, both));
    }
  }

  #lose(path: string): void {
    for (const [name, { socket }] of this.#drivers) {
      if (socket !== path) continue;
      this.#drivers.delete(name);
      this.#gone.add(name);
      this.#deps.log.info({ driver: name }, 'a CSI driver is gone');
      this.#deps.changed();
    }
  }

  async #follow(path: string, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    for (let failures = 1; ; failures++) {
      try {
        const driver = await this.#register(path, signal);
        if (!driver) return;
        this.#drivers.set(driver.name, { driver, socket: path });
        this.#gone.delete(driver.name);
        log.info({ driver: driver.name, node: driver.nodeId }, 'a CSI driver has registered');
        this.#deps.changed();
        return;
      } catch (error) {
        if (signal.aborted) return;
        log[failures === 1 ? 'warn' : 'debug']({ path, err: messageOf(error) }, 'a CSI driver could not be registered; trying again');
        await clock.sleep(backoffMs(retry, failures, Math.random), signal);
      }
    }
  }

  /** Undefined when what serves the socket is nothing for us, as it has been told then. */
  async #register(path: string, signal: AbortSignal): Promise<Driver | undefined> {
    const { call, log } = this.#deps;
    const tell = (error: string): Promise<unknown> => call(path, 'NotifyRegistrationStatus', { pluginRegistered: error === '', error }, infoMs, signal);
    const info = await call(path, 'GetInfo', {}, infoMs, signal);
    const problem = this.#problemOf(info, path);
    if (problem !== undefined) {
      log.warn({ path, err: problem }, 'refused a plugin');
      await tell(problem).catch(() => undefined);
      return undefined;
    }
    try {
      const driver = await this.#ask(info.name, info.endpoint || path, signal);
      await tell('');
      return driver;
    } catch (error) {
      if (!signal.aborted) await tell(messageOf(error)).catch(() => undefined);
      throw error;
    }
  }

  async #ask(name: string, endpoint: string, signal: AbortSignal): Promise<Driver> {
    const { call } = this.#deps;
    const { nodeId, maxVolumesPerNode, accessibleTopology } = await call(endpoint, 'NodeGetInfo', {}, nodeInfoMs, signal);
    if (nodeId === '') throw new StatusError('Invalid', `the CSI driver ${name} says no node_id`);
    const { capabilities } = await call(endpoint, 'NodeGetCapabilities', {}, infoMs, signal);
    return {
      name, endpoint, nodeId, maxVolumes: Math.max(0, maxVolumesPerNode), topology: Object.fromEntries(Object.entries(accessibleTopology?.segments ?? {}).slice(0, maxTopology)),
      capabilities: new Set(capabilities.flatMap(({ rpc }) => rpc?.type ?? [])),
    };
  }

  /** Why it cannot register, in the kubelet's words. */
  #problemOf({ type, name, endpoint, supportedVersions }: PluginInfo, path: string): string | undefined {
    if (type !== 'CSIPlugin') return `no handler registered for plugin type: ${type} at socket ${path}`;
    if (!driverName.test(name)) return `the name of the CSI driver ${JSON.stringify(name)} is not one: expected letters, digits, dots and dashes, 63 at most`;
    if (!supportedVersions.some((version) => /^v?1\./.test(version))) return `unsupported versions ${JSON.stringify(supportedVersions)} of CSI driver ${name}: this host speaks 1.x`;
    if (endpoint !== '' && !endpoint.startsWith('/')) return `the endpoint ${JSON.stringify(endpoint)} of CSI driver ${name} is not the path of a socket`;
    const other = this.#drivers.get(name);
    return other && other.socket !== path && this.#sockets.has(other.socket) ? `CSI driver ${name} is already registered through ${other.socket}` : undefined;
  }
}
