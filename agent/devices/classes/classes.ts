import { statSync, watch, type FSWatcher } from 'node:fs';
import { join } from 'node:path';
import type { ConfigMap } from '#api/gen/types.ts';
import { deviceClassesMap, deviceClassesOf, type DeviceClass } from '#api/devices/device-class.ts';
import { configMaps } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import { isAbort } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import type { DesiredState } from '#agent/state/types.ts';
import type { DeviceSink } from '../types.ts';
import { ClassSource } from './class-source.ts';
import { findDevices } from './find.ts';
import { entriesOf, type HostTree } from './properties.ts';

export interface DeviceClassesDeps {
  readonly state: DesiredState;
  readonly sink: DeviceSink;
  readonly clock: Clock;
  readonly log: Log;
  readonly tell: (reason: string, message: string) => void;
}

export const hostTree: HostTree = { sys: '/sys', dev: '/dev', udev: '/run/udev/data' };

/** A device that comes brings several nodes, and udev tells of it a little later. */
const settleMs = 150;
const lateLooksMs = [1000, 4000];
/** Older kernels tell of every write to /dev/null too: above so many in a second it is cheaper to look now and then. */
const maxNoise = 500;
const noisyLookMs = 5000;

/** Finds the devices of the cluster's classes on this host, and follows them as they come and go. */
export class DeviceClasses {
  readonly #deps: DeviceClassesDeps;
  readonly #tree: HostTree;
  readonly #sources = new Map<string, { readonly deviceClass: DeviceClass; readonly source: ClassSource }>();
  readonly #watchers = new Map<string, { readonly watcher: FSWatcher; readonly inode: number }>();
  #problems = '';
  #changed = false;
  #wake: () => void = () => undefined;
  #noise = 0;
  #noiseSinceMs = 0;
  #isNoisy = false;

  constructor(deps: DeviceClassesDeps, tree: HostTree = hostTree) {
    this.#deps = deps;
    this.#tree = tree;
  }

  async start(signal: AbortSignal): Promise<void> {
    const unsubscribe = this.#deps.state.subscribe((changes) => {
      if (changes.some(({ resource }) => resource.plural === configMaps.plural && resource.group === '')) this.#poke();
    });
    try {
      for (let late = 0; !signal.aborted;) {
        this.#changed = false;
        this.#followClasses();
        await this.#look();
        const waitMs = this.#sources.size === 0 ? undefined : lateLooksMs[late] ?? (this.#isNoisy ? noisyLookMs : undefined);
        const woken = await this.#wait(waitMs, signal);
        late = woken ? 0 : late + 1;
        if (woken) await this.#deps.clock.sleep(settleMs, signal);
      }
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    } finally {
      unsubscribe();
      this.#watch(new Set());
    }
  }

  /** A class that changed is another one. */
  #followClasses(): void {
    const { state, sink } = this.#deps;
    const map = state.get<ConfigMap>(configMaps, deviceClassesMap.namespace, deviceClassesMap.name);
    const { classes, problems } = deviceClassesOf(map?.data);
    for (const [resource, { deviceClass, source }] of this.#sources) {
      if (classes.some((wanted) => equal(wanted, deviceClass))) continue;
      this.#sources.delete(resource);
      if (!classes.some((wanted) => wanted.resource === resource)) sink.lose(resource, source, true);
    }
    for (const deviceClass of classes) {
      if (this.#sources.has(deviceClass.resource)) continue;
      const source = new ClassSource(deviceClass);
      this.#sources.set(deviceClass.resource, { deviceClass, source });
      sink.offer(deviceClass.resource, source);
    }
    const text = problems.join('; ');
    if (text !== this.#problems && text !== '') this.#deps.tell('InvalidDeviceClass', `in ConfigMap ${deviceClassesMap.namespace}/${deviceClassesMap.name}: ${text}`);
    this.#problems = text;
  }

  async #look(): Promise<void> {
    const { sink, log } = this.#deps;
    // Before the look: what comes meanwhile is seen by the next one.
    this.#watch(this.#sources.size === 0 || this.#isNoisy ? new Set() : await this.#folders());
    for (const [resource, { deviceClass, source }] of this.#sources) {
      try {
        sink.update(resource, source, source.update(await findDevices(this.#tree, deviceClass)));
      } catch (error) {
        log.warn({ resource, err: messageOf(error) }, 'devices of a class cannot be looked for');
      }
    }
  }

  /** Where nodes of devices of the classes come and go. */
  async #folders(): Promise<Set<string>> {
    const { dev } = this.#tree;
    const folders = new Set([dev]);
    const add = async (folder: string, deep: boolean): Promise<void> => {
      folders.add(join(dev, folder));
      if (deep) for (const name of await entriesOf(join(dev, folder))) folders.add(join(dev, folder, name));
    };
    for (const { deviceClass: { type, paths } } of this.#sources.values()) {
      if (type === 'dri') await add('dri', false);
      if (type === 'usb') await add('bus', false).then(() => add('bus/usb', true));
      for (const path of paths) {
        const parts = path.slice('/dev/'.length).split('/').slice(0, -1);
        const plain = parts.findIndex((part) => /[*?]/.test(part));
        const fixed = plain < 0 ? parts : parts.slice(0, plain);
        for (let i = 1; i <= fixed.length; i++) await add(fixed.slice(0, i).join('/'), plain >= 0 && i === fixed.length);
      }
    }
    return folders;
  }

  #watch(folders: ReadonlySet<string>): void {
    for (const [folder, { watcher, inode }] of this.#watchers) {
      // One that went and came again is another.
      if (folders.has(folder) && statSync(folder, { throwIfNoEntry: false })?.ino === inode) continue;
      watcher.close();
      this.#watchers.delete(folder);
    }
    for (const folder of folders) {
      if (this.#watchers.has(folder)) continue;
      try {
        const watcher = watch(folder, (event) => { this.#heard(event); });
        watcher.on('error', () => { this.#poke(); });
        this.#watchers.set(folder, { watcher, inode: statSync(folder).ino });
      } catch {
        // Not there yet: the folder above it tells when it comes.
      }
    }
  }

  #heard(event: string): void {
    if (event === 'rename') {
      this.#poke();
      return;
    }
    const nowMs = this.#deps.clock.monotonic();
    if (nowMs - this.#noiseSinceMs > 1000) {
      this.#noiseSinceMs = nowMs;
      this.#noise = 0;
    }
    if (++this.#noise < maxNoise || this.#isNoisy) return;
    this.#isNoisy = true;
    this.#poke();
  }

  #poke(): void {
    this.#changed = true;
    this.#wake();
  }

  /** True when something came or went, false when the time is over. */
  async #wait(ms: number | undefined, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted();
    if (this.#changed) return true;
    return new Promise<boolean>((resolve, reject) => {
      const cancel = ms === undefined ? () => undefined : this.#deps.clock.after(ms, () => { finish(); resolve(false); });
      const finish = (): void => {
        cancel();
        signal.removeEventListener('abort', abort);
        this.#wake = () => undefined;
      };
      const abort = (): void => { finish(); reject(signal.reason as Error); };
      this.#wake = () => { finish(); resolve(true); };
      signal.addEventListener('abort', abort, { once: true });
    });
  }
}
