import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, statfs, symlink, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Routes } from '#api/ingress/routes.ts';
import type { Clock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { exec, execOk, spawnDaemon } from '#common/exec.ts';
import { onAbort } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { findProgram } from '#agent/runtimes/containerd/host.ts';
import { dial, endProcess, processRef, readPidFile, writePidFile } from '#agent/runtimes/process.ts';
import { additionOf, proxyFiles, serverName, type ProxySettings } from './haproxy-config.ts';
import type { Certificates, IngressProxy } from './types.ts';

export interface HaproxyDeps { readonly clock: Clock; readonly log: Log }

export interface HaproxyConfig {
  /** All that it reads, keys included: made a folder in memory where it is not in one. */
  readonly dir: string;
  readonly httpPort: number;
  readonly httpsPort: number;
  /** The environment's PATH. */
  readonly searchPath: string;
  /** Put before the command, e.g. `nsenter --net=/run/netns/x` for a host that is a network namespace. */
  readonly launcher?: readonly string[];
}

const readyMs = 15_000;
const tmpfsMagic = 0x01021994;
const maxThreads = 4;

/**
 * HAProxy with a master of its own, which outlives this process and is adopted by the next. Changes of endpoints are
 * commands to the running worker; others start a new worker beside it, which takes over its sockets.
 */
export class Haproxy implements IngressProxy {
  readonly #deps: HaproxyDeps;
  readonly #config: HaproxyConfig;
  /** By backend, the servers that the running worker knows, and whether they get requests; undefined for a worker of an earlier agent. */
  #servers: Map<string, Map<string, boolean>> | undefined;

  constructor(deps: HaproxyDeps, config: HaproxyConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  get #pidFile(): string { return join(this.#config.dir, 'pid'); }
  get #socket(): string { return join(this.#config.dir, 'admin.sock'); }
  get #logFile(): string { return join(this.#config.dir, 'log'); }

  async running(): Promise<boolean> {
    return await readPidFile(this.#pidFile) !== undefined;
  }

  async serve(routes: Routes, certificates: Certificates, signal: AbortSignal): Promise<void> {
    const program = await this.#program();
    await this.#prepare();
    const settings: ProxySettings = {
      httpPort: this.#config.httpPort, httpsPort: this.#config.httpsPort, ipv6: existsSync('/proc/net/if_inet6'), threads: Math.min(maxThreads, availableParallelism()),
      socket: this.#socket, chroot: join(this.#config.dir, 'empty'),
    };
    const version = versionOf(routes, settings, certificates);
    const files = proxyFiles(routes, settings, version);
    const master = await readPidFile(this.#pidFile);
    if (master && this.#servers && await this.#version() === version) {
      await this.#setServers(routes, this.#servers, signal);
      await replaceFile(join(this.#config.dir, version, 'haproxy.cfg'), files['haproxy.cfg'] ?? '');
    } else {
      await this.#stage(program, version, files, certificates, signal);
      const current = join(this.#config.dir, 'current');
      await rm(`${current}.new`, { force: true });
      await symlink(version, `${current}.new`);
      await rename(`${current}.new`, current);
      if (master) process.kill(master.pid, 'SIGUSR2');
      else await this.#launch(program);
      await this.#awaitVersion(version, signal);
      this.#deps.log.info({ version, backends: routes.backends.length }, master ? 'proxy loaded anew' : 'started proxy');
      this.#servers = new Map(routes.backends.map(({ name, endpoints }) => [name, new Map(endpoints.map((one) => [serverName(one), true]))]));
    }
    await this.#removeOthers(version);
  }

  async stop(signal: AbortSignal): Promise<void> {
    const master = await readPidFile(this.#pidFile);
    if (master) await endProcess(master, this.#deps.clock, signal);
    this.#servers = undefined;
    if ((await exec('mountpoint', ['-q', this.#config.dir])).exitCode === 0) await exec('umount', ['-l', this.#config.dir]);
    await rm(this.#config.dir, { recursive: true, force: true });
  }

  async #program(): Promise<string> {
    try {
      return await findProgram('haproxy', this.#config.searchPath);
    } catch (error) {
      throw new StatusError('ServiceUnavailable', 'Ingresses are not served on this host: HAProxy is not installed; install it (apt-get install --no-install-recommends haproxy), or start the agent with --ingress off', { cause: error });
    }
  }

  /** Keys are to be in memory only. */
  async #prepare(): Promise<void> {
    const { dir } = this.#config;
    await mkdir(dir, { recursive: true, mode: 0o700 });
    if ((await statfs(dir)).type !== tmpfsMagic) await execOk('mount', ['-t', 'tmpfs', '-o', 'mode=0700,size=32m,nosuid,nodev,noexec', 'tmpfs', dir]);
    await mkdir(join(dir, 'empty'), { recursive: true, mode: 0o755 });
  }

  /** A folder of this version's own, which HAProxy has found no fault with. */
  async #stage(program: string, version: string, files: Readonly<Record<string, string>>, certificates: Certificates, signal: AbortSignal): Promise<void> {
    const folder = join(this.#config.dir, version);
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { mode: 0o700 });
    for (const [name, text] of [...Object.entries(files), ...certificates]) await writeFile(join(folder, name), text, { mode: 0o600 });
    const { exitCode, stdout, stderr } = await exec(program, ['-c', '-C', folder, '-f', 'haproxy.cfg'], { signal });
    if (exitCode === 0) return;
    await rm(folder, { recursive: true, force: true });
    throw new StatusError('Invalid', `HAProxy refuses what the Ingresses ask for, and goes on with what was before: ${alerts(stderr || stdout)}`);
  }

  async #launch(program: string): Promise<void> {
    await rm(this.#socket, { force: true });
    const log = await open(this.#logFile, 'w', 0o600);
    try {
      const [launcher, ...launcherArgs] = this.#config.launcher ?? [];
      const args = ['-W', '-C', join(this.#config.dir, 'current'), '-f', 'haproxy.cfg'];
      const daemon = await (launcher === undefined ? spawnDaemon(program, args, log.fd) : spawnDaemon(launcher, [...launcherArgs, program, ...args], log.fd));
      const ref = await processRef(daemon.pid);
      if (ref) await writePidFile(this.#pidFile, ref);
    } finally {
      await log.close();
    }
  }

  async #awaitVersion(version: string, signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    const deadline = clock.monotonic() + readyMs;
    while (await this.running() && clock.monotonic() < deadline) {
      if (await this.#version() === version) return;
      await clock.sleep(20, signal);
    }
    const words = alerts(await readFile(this.#logFile, 'utf8').catch(() => ''));
    throw new StatusError('ServiceUnavailable', `HAProxy does not serve the Ingresses; are the ports ${String(this.#config.httpPort)} and ${String(this.#config.httpsPort)} another program's? It says: ${words || 'nothing'}`);
  }

  /** New endpoints first. Those that are gone get no new requests, and are forgotten when nobody is connected to them. */
  async #setServers({ backends }: Routes, servers: Map<string, Map<string, boolean>>, signal: AbortSignal): Promise<void> {
    for (const backend of backends) {
      const known = servers.get(backend.name) ?? new Map<string, boolean>();
      servers.set(backend.name, known);
      const wanted = new Set(backend.endpoints.map(serverName));
      for (const endpoint of backend.endpoints) {
        const name = serverName(endpoint);
        if (known.get(name) === true) continue;
        for (const command of additionOf(backend, endpoint).slice(known.has(name) ? 1 : 0)) await this.#command(command, signal);
        known.set(name, true);
      }
      for (const [name, used] of known) {
        if (wanted.has(name)) continue;
        if (used) await this.#command(`set server ${backend.name}/${name} state maint`, signal);
        known.set(name, false);
        if ((await this.#ask(`del server ${backend.name}/${name}`, signal)).startsWith('Server deleted')) known.delete(name);
      }
    }
  }

  async #command(command: string, signal: AbortSignal): Promise<void> {
    const said = (await this.#ask(command, signal)).trim();
    if (said === '' || said.startsWith('New server registered')) return;
    // What it knows is not what we think: with the next try everything is loaded anew.
    this.#servers = undefined;
    throw new StatusError('InternalError', `HAProxy refused "${command}": ${said}`);
  }

  /** What the running worker calls its configuration; undefined when none answers. */
  async #version(): Promise<string | undefined> {
    return /^description: (\S+)/m.exec(await this.#ask('show info', AbortSignal.timeout(2000)).catch(() => ''))?.[1];
  }

  async #ask(command: string, signal: AbortSignal): Promise<string> {
    const socket = await dial(this.#socket);
    if (!socket) throw new StatusError('ServiceUnavailable', 'HAProxy does not listen for commands');
    const give = AbortSignal.any([signal, AbortSignal.timeout(5000)]);
    const forget = onAbort(give, () => { socket.destroy(new Error('HAProxy did not answer in time')); });
    try {
      socket.write(`${command}\n`);
      let answer = '';
      for await (const chunk of socket) answer = (answer + String(chunk)).slice(-(64 << 10));
      return answer;
    } finally {
      forget();
    }
  }

  async #removeOthers(version: string): Promise<void> {
    for (const name of await readdir(this.#config.dir)) if (/^[0-9a-f]{16}$/.test(name) && name !== version) await rm(join(this.#config.dir, name), { recursive: true, force: true });
  }
}

/** Of all that takes a reload: endpoints do not, but for the first and the last of a backend, which HAProxy sets up differently without any. */
function versionOf(routes: Routes, settings: ProxySettings, certificates: Certificates): string {
  const bare = { ...routes, backends: routes.backends.map((one) => ({ ...one, endpoints: one.endpoints.length > 0 ? [{ ip: '', port: 0 }] : [] })) };
  return createHash('sha256').update(JSON.stringify([proxyFiles(bare, settings, ''), bare.backends, [...certificates]])).digest('hex').slice(0, 16);
}

/** What HAProxy holds against something, without the process ids that make every time look new. */
function alerts(said: string): string {
  return said.split('\n').flatMap((line) => /^\[ALERT\]\s+\(\d+\) : (.*)/.exec(line)?.[1] ?? []).join('; ').slice(-1000);
}

async function replaceFile(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text, { mode: 0o600 });
  await rename(`${path}.new`, path);
}
