import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isRecord } from '#api/meta/json.ts';
import { writeFileAtomic } from '#common/atomic-file.ts';
import { backoffMs } from '#common/backoff.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import { ensureHelloImage, ensurePauseImage, helloImage, pauseImage } from '#install/images.ts';
import { findCniBinDir, findProgram } from './containerd/host.ts';
import { ManagedContainerd } from './containerd/managed.ts';
import { containerdPaths } from './containerd/paths.ts';
import { foreignSetup } from './foreign.ts';
import type { DriverDeps, OpenDriver, RuntimeDriver } from './types.ts';

/** Where CNI plugins are installed: by their own project, by Debian, by Fedora. */
const cniBinDirs = ['/opt/cni/bin', '/usr/lib/cni', '/usr/libexec/cni'];
const retry = { baseMs: 100, maxMs: 10_000, jitter: 0.2 };
/** So many times in a row nobody needs to look into it: about a second and a half. */
const expectedFailures = 4;
const probeMs = 5000;
const usualSockets: Readonly<Record<string, string>> = { docker: '/var/run/docker.sock', ctr: '/run/containerd/containerd.sock' };

/** A runtime of this host. */
export interface RuntimeChoice {
  /** Name of the driver. */
  readonly driver: string;
  /** Its socket; empty for Cleat's own containerd. */
  readonly endpoint: string;
}

export interface HostRuntimeDeps extends DriverDeps {
  readonly drivers: Readonly<Record<string, OpenDriver>>;
  /** Whether a program is on this host; looked up there when absent. */
  readonly isInstalled?: (program: string) => Promise<boolean>;
}

export interface HostRuntimeConfig {
  readonly stateDir: string;
  /** The environment's PATH. */
  readonly searchPath: string;
  /** Where the engines that are asked for without a socket listen; where they usually do when absent. */
  readonly sockets?: Readonly<Record<string, string>>;
}

/** The runtime that this host's pods run on: Cleat's own containerd, or one that is already there. */
export class HostRuntime {
  readonly choice: RuntimeChoice;
  /** Cleat's own; absent where another's runtime is used. */
  readonly containerd: ManagedContainerd | undefined;
  readonly #deps: HostRuntimeDeps;
  readonly #config: HostRuntimeConfig;

  constructor(deps: HostRuntimeDeps, config: HostRuntimeConfig, choice: RuntimeChoice) {
    this.#deps = deps;
    this.#config = config;
    this.choice = choice;
    const own = choice.driver === 'cri' && choice.endpoint === '';
    this.containerd = own ? new ManagedContainerd({ log: deps.log.child({ component: 'containerd' }), clock: deps.clock }, { stateDir: config.stateDir, sandboxImage: pauseImage, searchPath: config.searchPath, cniBinDirs }) : undefined;
  }

  /** Resolves with a driver that pods can be run by, once the runtime answers, with where the runtime reads CNI configuration from when that is not Cleat's folder, and with the images that no pod can do without. */
  async open(owner: string, signal: AbortSignal): Promise<{ driver: RuntimeDriver; cniConfDir: string | undefined; systemImages: readonly string[] }> {
    const driver = await this.connect(owner);
    await this.untilAnswered(() => driver.version(signal), signal);
    const foreign = this.choice.driver === 'cri' && !this.containerd ? await foreignSetup(driver, signal) : undefined;
    if (this.choice.driver !== 'cri') await findCniBinDir(cniBinDirs);
    // One that has answered once may end before the next question.
    await this.untilAnswered(() => ensurePauseImage(driver, signal, foreign?.sandboxImage), signal);
    return { driver, cniConfDir: foreign?.cniConfDir, systemImages: [pauseImage, ...(foreign?.sandboxImage === undefined ? [] : [foreign.sandboxImage])] };
  }

  /** As the Node tells it: the driver, and the socket that it speaks to. */
  get description(): string {
    return `${this.choice.driver} ${this.endpoint}`;
  }

  /** That socket, `unix://…`. */
  get endpoint(): string { return `unix://${(this.containerd?.endpoint ?? this.choice.endpoint).replace(/^unix:(\/\/)?/, '')}`; }

  /** Where containerd, or `ctr`, is told how registries are reached; undefined where that is somebody else's to say. */
  get registryHostsDir(): string | undefined {
    return this.containerd || this.choice.driver === 'ctr' ? containerdPaths(this.#config.stateDir).registryHosts : undefined;
  }

  /** A driver for what the node named `owner` has there, without a look at whether it can run more. */
  async connect(owner: string): Promise<RuntimeDriver> {
    const { driver, endpoint } = this.choice;
    return openerOf(this.#deps, driver)(this.#driverDeps, {
      endpoint: this.containerd?.endpoint ?? endpoint, owner, stateDir: this.#config.stateDir, runDir: containerdPaths(this.#config.stateDir).runDir, sandboxImage: pauseImage,
      cni: { confDir: containerdPaths(this.#config.stateDir).cniConfDir, binDirs: cniBinDirs }, ...(this.containerd && { snapshotter: this.containerd.snapshotter }),
      ...(this.registryHostsDir !== undefined && { registryHostsDir: this.registryHostsDir }),
    });
  }

  get #driverDeps(): DriverDeps { return { log: this.#deps.log.child({ component: 'runtime' }), clock: this.#deps.clock }; }

  /** The examples' image is in no registry: every host that needs it builds it, once for all that ask at the same time. */
  localImages(): ReadonlyMap<string, (driver: RuntimeDriver, signal: AbortSignal) => Promise<void>> {
    let building: Promise<void> | undefined;
    const build = (driver: RuntimeDriver, signal: AbortSignal): Promise<void> =>
      building ??= ensureHelloImage(driver, signal).finally(() => { building = undefined; });
    return new Map([[helloImage, build], [helloImage.slice(helloImage.lastIndexOf('/') + 1), build]]);
  }

  /** Asks until the runtime answers. One that is still starting is waited for: at boot nobody knows who comes first. */
  async untilAnswered(ask: () => Promise<unknown>, signal: AbortSignal): Promise<void> {
    for (let failures = 1; ; failures++) {
      try {
        // A containerd of our own may have ended since it was found running, and nobody keeps it running yet.
        if (failures > 1) await this.containerd?.ensure(signal);
        await ask();
        return;
      } catch (error) {
        signal.throwIfAborted();
        if (!isStatus(error, 'ServiceUnavailable', 'Timeout')) throw error;
        await waitForRuntime(this.#deps, this.choice.endpoint, error, failures, signal);
      }
    }
  }
}

/**
 * What the flags ask for; where they leave it open, what this host has used before, or the best that it has: a
 * containerd of Cleat's own before a Docker that is there, and that before a containerd whose CRI is switched off.
 */
export async function chooseRuntime(deps: HostRuntimeDeps, config: HostRuntimeConfig, asked: { readonly runtime: string; readonly endpoint: string }, before: RuntimeChoice | undefined, signal: AbortSignal): Promise<RuntimeChoice> {
  const { runtime, endpoint } = asked;
  const { sockets = usualSockets } = config;
  if (runtime !== '') return { driver: runtime, endpoint: endpoint === '' ? sockets[runtime] ?? '' : endpoint };
  if (endpoint !== '') return { driver: await driverOf(deps, config, endpoint, signal), endpoint };
  if (before) return before;
  const own = { driver: 'cri', endpoint: '' };
  const { isInstalled = (program) => findProgram(program, config.searchPath).then(() => true, () => false) } = deps;
  if (await isInstalled('containerd') && await isInstalled('runc')) return own;
  for (const [driver, socket] of Object.entries(sockets)) {
    if (existsSync(socket) && await answer(deps, config, driver, socket, signal) === undefined) return { driver, endpoint: socket };
  }
  return own;
}

/** The choice that this host's pods were made by; undefined when none ever was. */
export async function rememberedChoice(stateDir: string): Promise<RuntimeChoice | undefined> {
  const text = await readFile(choicePath(stateDir), 'utf8').catch(() => '{}');
  try {
    const value: unknown = JSON.parse(text);
    if (isRecord(value) && typeof value['driver'] === 'string' && typeof value['endpoint'] === 'string') return { driver: value['driver'], endpoint: value['endpoint'] };
  } catch {
    // As if nothing stood there: what the host has decides.
  }
  return existsSync(containerdPaths(stateDir).config) ? { driver: 'cri', endpoint: '' } : undefined;
}

/** Written before the first pod is made. */
export async function rememberChoice(stateDir: string, choice: RuntimeChoice): Promise<void> {
  const text = `${JSON.stringify({ driver: choice.driver, endpoint: choice.endpoint })}\n`;
  if (await readFile(choicePath(stateDir), 'utf8').catch(() => '') !== text) await writeFileAtomic(choicePath(stateDir), text, 0o644);
}

export function sameChoice(a: RuntimeChoice, b: RuntimeChoice): boolean {
  return a.driver === b.driver && a.endpoint === b.endpoint;
}

function choicePath(stateDir: string): string {
  return join(stateDir, 'agent', 'runtime.json');
}

function openerOf({ drivers }: HostRuntimeDeps, name: string): OpenDriver {
  const open = Object.hasOwn(drivers, name) ? drivers[name] : undefined;
  if (!open) throw new StatusError('Invalid', `there is no runtime driver "${name}"`);
  return open;
}

/** Which driver speaks with what listens on the socket; waits for somebody to listen. */
async function driverOf(deps: HostRuntimeDeps, config: HostRuntimeConfig, endpoint: string, signal: AbortSignal): Promise<string> {
  for (let failures = 1; ; failures++) {
    const cri = await answer(deps, config, 'cri', endpoint, signal);
    if (cri === undefined) return 'cri';
    // A containerd that knows nothing of CRI says so.
    if (isStatus(cri, 'MethodNotAllowed')) return 'ctr';
    if (await answer(deps, config, 'docker', endpoint, signal) === undefined) return 'docker';
    await waitForRuntime(deps, endpoint, cri, failures, signal);
  }
}

/** Undefined when the driver gets an answer from there, else what it gets. */
async function answer(deps: HostRuntimeDeps, config: HostRuntimeConfig, name: string, endpoint: string, signal: AbortSignal): Promise<StatusError | undefined> {
  const driver = await openerOf(deps, name)(deps, { endpoint, owner: '', stateDir: config.stateDir, runDir: containerdPaths(config.stateDir).runDir, sandboxImage: pauseImage, cni: { confDir: '', binDirs: [] } });
  try {
    await driver.version(AbortSignal.any([signal, AbortSignal.timeout(probeMs)]));
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    return isStatus(error) ? error : new StatusError('Timeout', `no answer within ${String(probeMs)} ms`, { cause: error });
  } finally {
    driver.close?.();
  }
}

async function waitForRuntime({ log, clock }: DriverDeps, endpoint: string, error: StatusError, failures: number, signal: AbortSignal): Promise<void> {
  log[failures > expectedFailures ? 'warn' : 'info']({ component: 'runtime', endpoint, err: error.message }, 'waiting for the container runtime; check that it is running, and --runtime-endpoint');
  await clock.sleep(backoffMs(retry, failures, Math.random), signal);
}
