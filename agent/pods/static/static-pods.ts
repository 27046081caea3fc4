import { watch, type FSWatcher } from 'node:fs';
import type { Pod } from '#api/gen/types.ts';
import { pods, type Resource } from '#api/kinds/resources.ts';
import { keyOf, objectKey, type KubeObject } from '#api/meta/object.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import { isAbort, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import type { PodReport, PodReports } from '#agent/session/types.ts';
import type { DesiredState, StateChange } from '#agent/state/types.ts';
import type { PodPresence } from '../types.ts';
import { mirrorAnnotation, mirrorOf, readStaticPods, type StaticFolder } from './folder.ts';

export interface StaticPodsDeps {
  readonly state: DesiredState;
  readonly clock: Clock;
  readonly log: Log;
}

export interface StaticPodsConfig {
  readonly folder: string;
  readonly nodeName: string;
  /** Between two looks; changes of files are seen at once where the kernel tells of them. */
  readonly checkMs: number;
}

/**
 * Pods that this host runs by itself, from files, whether or not it ever hears of a control plane: the desired state
 * with them in it. Their copies in the API, the mirrors, are not run again; they are made, and removed, by reports.
 */
export class StaticPods implements DesiredState, Runnable {
  readonly #deps: StaticPodsDeps;
  readonly #config: StaticPodsConfig;
  readonly #listeners = new Set<(changes: readonly StateChange[]) => void>();
  /** By `namespace/name`. */
  #pods: ReadonlyMap<string, Pod> = new Map();
  #files: ReadonlyMap<string, Pod> = new Map();
  #problems = '';
  #wake: () => void = () => undefined;

  private constructor(deps: StaticPodsDeps, config: StaticPodsConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** With the folder read, so that its pods are there from the start. */
  static async open(deps: StaticPodsDeps, config: StaticPodsConfig): Promise<StaticPods> {
    const opened = new StaticPods(deps, config);
    await opened.#read();
    return opened;
  }

  get known(): boolean { return this.#deps.state.known; }
  get reliable(): boolean { return this.#deps.state.reliable; }

  get<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string): T | undefined {
    const own = resource.plural === pods.plural && resource.group === '' ? this.#pods.get(objectKey(namespace, name)) as T | undefined : undefined;
    return own ?? this.#deps.state.get(resource, namespace, name);
  }

  list<T extends KubeObject>(resource: Resource<T>): readonly T[] {
    const found = this.#deps.state.list(resource);
    if (resource.plural !== pods.plural || resource.group !== '') return found;
    return [...this.#pods.values() as Iterable<KubeObject> as Iterable<T>, ...found.filter((pod) => !isMirror(pod) && !this.#pods.has(keyOf(pod)))];
  }

  subscribe(listener: (changes: readonly StateChange[]) => void): () => void {
    const unsubscribe = this.#deps.state.subscribe((changes) => {
      listener(changes.filter((change) => change.resource.plural !== pods.plural || !(change.type === 'set' ? isMirror(change.object) || this.#pods.has(keyOf(change.object)) : this.#pods.has(objectKey(change.namespace, change.name)))));
    });
    this.#listeners.add(listener);
    return () => {
      unsubscribe();
      this.#listeners.delete(listener);
    };
  }

  /** The uid that the pod runs under, of a uid that the API knows. */
  uidOf(apiUid: string): string {
    const mirror = this.#deps.state.list(pods).find(({ metadata }) => metadata?.uid === apiUid);
    return (mirror && isMirror(mirror) ? this.#pods.get(keyOf(mirror))?.metadata?.uid : undefined) ?? apiUid;
  }

  /** Reports as the control plane takes them: of mirrors under their own uid, and with what they are to be made of where there is none. */
  reports(inner: PodReports & Pick<PodPresence, 'leaving' | 'onLeft'>): PodReports {
    const strays = (): PodReport[] => this.#strays(new Set(inner.leaving()));
    return {
      all: () => [...inner.all().flatMap((report) => this.#translated(report)), ...strays()],
      subscribe: (listener) => {
        const stops = [
          inner.subscribe((report) => { for (const translated of this.#translated(report)) listener(translated); }),
          // A mirror that came, went or is to go: what is to be said of it changes with it.
          this.#deps.state.subscribe((changes) => {
            const keys = new Set(changes.filter(({ resource }) => resource.plural === pods.plural).map((change) => (change.type === 'set' ? keyOf(change.object) : objectKey(change.namespace, change.name))));
            for (const report of inner.all()) if (keys.has(objectKey(report.namespace, report.name))) for (const translated of this.#translated(report)) listener(translated);
            for (const stray of strays()) if (keys.has(objectKey(stray.namespace, stray.name))) listener(stray);
          }),
          inner.onLeft(() => { for (const stray of strays()) listener(stray); }),
        ];
        return () => { for (const stop of stops) stop(); };
      },
    };
  }

  async start(signal: AbortSignal): Promise<void> {
    let watcher: FSWatcher | undefined;
    try {
      for (;;) {
        // The folder may come later.
        watcher ??= this.#watch();
        await this.#wait(signal);
        await this.#read();
      }
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    } finally {
      watcher?.close();
    }
  }

  #translated(report: PodReport): PodReport[] {
    const pod = this.#pods.get(objectKey(report.namespace, report.name));
    if (pod?.metadata?.uid !== report.uid) return [report];
    const mirror = this.#deps.state.get(pods, report.namespace, report.name);
    if (!mirror) return report.gone ? [] : [{ ...report, mirror: mirrorOf(pod) }];
    // Somebody's pod of the same name: it has to go before this one can be shown.
    if (!isMirror(mirror)) return [];
    const uid = mirror.metadata?.uid ?? '';
    const stale = mirror.metadata?.annotations?.[mirrorAnnotation] !== report.uid || mirror.metadata.deletionTimestamp !== undefined;
    return [{ ...report, uid, gone: stale }];
  }

  /** Mirrors of what is in no file any more, and has ended here. */
  #strays(leaving: ReadonlySet<string>): PodReport[] {
    return this.#deps.state.list(pods).filter((pod) => isMirror(pod) && !this.#pods.has(keyOf(pod)) && !leaving.has(pod.metadata?.annotations?.[mirrorAnnotation] ?? ''))
      .map(({ metadata }) => ({ namespace: metadata?.namespace ?? '', name: metadata?.name ?? '', uid: metadata?.uid ?? '', status: {}, gone: true }));
  }

  async #read(): Promise<void> {
    const { folder, nodeName } = this.#config;
    let found: StaticFolder;
    try {
      found = await readStaticPods(folder, nodeName);
    } catch (error) {
      // A folder that is not there holds nothing; one that cannot be read has not changed.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') { this.#complain(messageOf(error)); return; }
      found = { pods: new Map(), problems: new Map() };
    }
    this.#complain([...found.problems].map(([file, problem]) => `${file}: ${problem}`).join('; '));
    const before = this.#pods;
    // A file that cannot be understood, half written maybe, ends nothing that it described before.
    const kept = [...found.problems.keys()].flatMap((file) => { const pod = this.#files.get(file); return pod ? [[file, pod] as const] : []; });
    this.#files = new Map([...kept, ...found.pods]);
    this.#pods = new Map([...this.#files.values()].map((pod) => [keyOf(pod), pod]));
    const changes: StateChange[] = [];
    for (const [key, { metadata }] of before) if (!this.#pods.has(key)) changes.push({ type: 'remove', resource: pods, namespace: metadata?.namespace, name: metadata?.name ?? '' });
    for (const [key, pod] of this.#pods) if (before.get(key)?.metadata?.uid !== pod.metadata?.uid) changes.push({ type: 'set', resource: pods, object: pod });
    if (changes.length === 0) return;
    for (const listener of this.#listeners) listener(changes);
  }

  #complain(problems: string): void {
    if (problems !== '' && problems !== this.#problems) this.#deps.log.error({ component: 'static-pods', folder: this.#config.folder, problems }, 'files of static pods cannot be used; correct or remove them');
    this.#problems = problems;
  }

  #watch(): FSWatcher | undefined {
    try {
      return watch(this.#config.folder, () => { this.#wake(); }).on('error', () => undefined);
    } catch {
      return undefined;
    }
  }

  async #wait(signal: AbortSignal): Promise<void> {
    const stop = new AbortController();
    this.#wake = () => { stop.abort(new Error('changed')); };
    await this.#deps.clock.sleep(this.#config.checkMs, AbortSignal.any([signal, stop.signal])).catch(() => undefined);
    signal.throwIfAborted();
  }
}

function isMirror({ metadata }: KubeObject): boolean {
  return metadata?.annotations?.[mirrorAnnotation] !== undefined;
}
