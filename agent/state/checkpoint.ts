import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { KubeObject } from '#api/meta/object.ts';
import { freeze } from '#api/meta/equal.ts';
import type { Resource } from '#api/kinds/resources.ts';
import { writeFileAtomic } from '#common/atomic-file.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import { LogFile, newFile, readRecords } from './log-file.ts';
import { ObjectSet } from './objects.ts';
import { isDiskFull, keepReserve, releaseReserve } from './reserve.ts';
import { decodeRecord, encodeChange, encodeSnapshot } from './record.ts';
import { ObjectSeal } from './seal.ts';
import type { Checkpoint, StateChange } from './types.ts';

export interface CheckpointConfig {
  /** Folder of its own, e.g. `<state-dir>/agent/checkpoint`. */
  readonly folder: string;
  /** Where the key to the Secrets in it is kept; `key` in the folder when absent. */
  readonly keyPath?: string;
  /** Changes are appended until they outweigh the snapshot twice and reach this; then a new file is written. */
  readonly compactAfterBytes?: number;
}

const defaultCompactAfterBytes = 256 << 10;

interface Loaded {
  readonly objects: ObjectSet;
  readonly known: boolean;
  readonly reliable: boolean;
  readonly revision: number;
  readonly generation: number;
  /** The file to append to; absent when the next change must write a new one. */
  readonly file: LogFile | undefined;
  readonly snapshotBytes: number;
}

/**
 * DesiredState in files `checkpoint.<generation>`: a snapshot record, then change records. Each applied message is
 * one record, fsynced. Two generations are kept: when the newer cannot be read, the older is the state as it was
 * when the newer was begun. Content that cannot be read never keeps an agent from starting.
 */
export class CheckpointStore implements Checkpoint {
  readonly #folder: string;
  readonly #compactAfterBytes: number;
  readonly #log: Log;
  /** What Secrets are sealed with. */
  readonly seal: ObjectSeal;
  readonly #listeners = new Set<(changes: readonly StateChange[]) => void>();
  #objects: ObjectSet;
  #known: boolean;
  #reliable: boolean;
  #revision: number;
  #generation: number;
  #file: LogFile | undefined;
  #snapshotBytes: number;
  /** Calls run one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(log: Log, seal: ObjectSeal, config: CheckpointConfig, loaded: Loaded) {
    this.#log = log;
    this.seal = seal;
    this.#folder = config.folder;
    this.#compactAfterBytes = config.compactAfterBytes ?? defaultCompactAfterBytes;
    this.#objects = loaded.objects;
    this.#known = loaded.known;
    this.#reliable = loaded.reliable;
    this.#revision = loaded.revision;
    this.#generation = loaded.generation;
    this.#file = loaded.file;
    this.#snapshotBytes = loaded.snapshotBytes;
  }

  /** Rejects only when the folder cannot be made or read. */
  static async open(deps: { log: Log }, config: CheckpointConfig): Promise<CheckpointStore> {
    try {
      await mkdir(config.folder, { recursive: true, mode: 0o700 });
      const seal = await ObjectSeal.open(config.keyPath ?? join(config.folder, 'key'), deps.log);
      const loaded = await load(deps.log, seal, config.folder);
      await keepReserve(config.folder);
      return new CheckpointStore(deps.log, seal, config, loaded);
    } catch (error) {
      throw new StatusError('InternalError', `cannot open the checkpoint in ${config.folder}: ${messageOf(error)}; check that it belongs to this user and that the disk works`, { cause: error });
    }
  }

  get known(): boolean { return this.#known; }
  get reliable(): boolean { return this.#reliable; }
  get revision(): number { return this.#revision; }

  get<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string): T | undefined {
    return this.#objects.get(resource, namespace, name) as T | undefined;
  }

  list<T extends KubeObject>(resource: Resource<T>): readonly T[] {
    return this.#objects.list(resource) as readonly T[];
  }

  subscribe(listener: (changes: readonly StateChange[]) => void): () => void {
    this.#listeners.add(listener);
    return () => { this.#listeners.delete(listener); };
  }

  complete(objects: readonly { resource: Resource; object: KubeObject }[], revision: number): Promise<void> {
    return this.#inTurn(async () => {
      const certain = this.#known && this.#reliable;
      const changes = this.#objects.changesTo(objects);
      await this.#commit(changes, revision);
      this.#reliable = true;
      if (changes.length > 0 || !certain) this.#tell(changes);
    });
  }

  incremental(changes: readonly StateChange[], fromRevision: number, toRevision: number): Promise<void> {
    return this.#inTurn(async () => {
      if (fromRevision !== this.#revision) {
        throw new StatusError('Conflict', `a change from revision ${String(fromRevision)} does not fit the checkpoint's ${String(this.#revision)}; the session must be opened anew`);
      }
      const effective = this.#objects.effective(changes);
      await this.#commit(effective, toRevision);
      if (effective.length > 0) this.#tell(effective);
    });
  }

  async close(): Promise<void> {
    await this.#inTurn(async () => {
      await this.#file?.close();
      this.#file = undefined;
    });
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(work, work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  /** On disk, then in memory. The revision alone is not worth a write: every session starts with a COMPLETE that sets it. */
  async #commit(changes: readonly StateChange[], revision: number): Promise<void> {
    if (changes.length > 0 || !this.#known || !this.#reliable) {
      for (const change of changes) if (change.type === 'set') freeze(change.object);
      await this.#write(changes, revision);
      this.#objects.apply(changes);
      this.#known = true;
    }
    this.#revision = revision;
  }

  async #write(changes: readonly StateChange[], revision: number): Promise<void> {
    const record = encodeChange(changes, revision, this.seal);
    const limit = Math.max(this.#compactAfterBytes, 2 * this.#snapshotBytes);
    const store = async (longerThanLimit: boolean): Promise<void> => {
      const file = this.#file;
      if (file && (longerThanLimit || file.size - this.#snapshotBytes + record.length <= limit)) await file.append(record);
      else await this.#writeGeneration(changes, revision);
    };
    try {
      await store(false).catch(async (error: unknown) => {
        if (!isDiskFull(error)) throw error;
        await releaseReserve(this.#folder);
        this.#log.warn({ component: 'checkpoint', folder: this.#folder }, 'the disk is full; using the space set aside for this');
        // A record takes less than a snapshot; the file is compacted when there is space again.
        await store(true);
      });
    } catch (error) {
      // Without the name of the file, which is another at each attempt: who says things once compares them.
      throw new StatusError('ServiceUnavailable', `cannot write the checkpoint in ${this.#folder}: ${messageOf(error).replace(/, \w+ '.*$/, '')}; free some space or check the disk`, { cause: error });
    }
  }

  async #writeGeneration(changes: readonly StateChange[], revision: number): Promise<void> {
    const next = this.#objects.copy();
    next.apply(changes);
    const bytes = newFile(encodeSnapshot(next, revision, this.seal));
    const generation = this.#generation + 1;
    const path = pathOf(this.#folder, generation);
    await writeFileAtomic(path, bytes, 0o600);
    // From here on the new file counts: a later start reads it, so nothing may be added to the old one.
    const old = this.#file;
    this.#generation = generation;
    this.#snapshotBytes = bytes.length;
    this.#file = undefined;
    this.#file = await LogFile.open(path, bytes.length);
    await old?.close();
    for (const stale of await generationsIn(this.#folder)) if (stale < generation - 1) await rm(pathOf(this.#folder, stale), { force: true });
    await keepReserve(this.#folder);
  }

  #tell(changes: readonly StateChange[]): void {
    for (const listener of this.#listeners) {
      try {
        listener(changes);
      } catch (error) {
        this.#log.error({ component: 'checkpoint', err: messageOf(error) }, 'a listener failed');
      }
    }
  }
}

function pathOf(folder: string, generation: number): string {
  return join(folder, `checkpoint.${String(generation)}`);
}

async function generationsIn(folder: string): Promise<number[]> {
  const names = await readdir(folder);
  return names.flatMap((name) => Number(/^checkpoint\.(\d{1,15})$/.exec(name)?.[1] ?? NaN) || []).sort((a, b) => b - a);
}

async function load(log: Log, seal: ObjectSeal, folder: string): Promise<Loaded> {
  // What an interrupted write left can stay where a disk cannot be written any more.
  for (const name of await readdir(folder)) if (name.startsWith('.checkpoint.')) await rm(join(folder, name), { force: true }).catch(() => undefined);
  const generations = await generationsIn(folder);
  const [newest] = generations;
  for (const generation of generations) {
    const loaded = await loadGeneration(log, seal, pathOf(folder, generation), generation, generation === newest);
    // a new file must be newer than all that are there, the unreadable ones included
    if (loaded) return { ...loaded, reliable: loaded.reliable && generation === newest, generation: newest ?? generation };
  }
  if (newest !== undefined) log.error({ component: 'checkpoint', folder }, 'no checkpoint can be read: nothing is known about this node until the control plane answers');
  return { objects: new ObjectSet(), known: false, reliable: newest === undefined, revision: 0, generation: newest ?? 0, file: undefined, snapshotBytes: 0 };
}

async function loadGeneration(log: Log, seal: ObjectSeal, path: string, generation: number, newest: boolean): Promise<Loaded | undefined> {
  let bytes;
  try {
    bytes = await readFile(path);
  } catch (error) {
    log.error({ component: 'checkpoint', path, err: messageOf(error) }, 'a checkpoint cannot be read; trying the one before');
    return undefined;
  }
  const { records, end, state } = readRecords(bytes);
  const objects = new ObjectSet();
  let revision = 0;
  let usable = 0;
  let lost = 0;
  let plain = 0;
  try {
    for (const bytesOfRecord of records) {
      const record = decodeRecord(bytesOfRecord, seal);
      if ((record.type === 'snapshot') !== (usable === 0)) throw new TypeError('records are out of order');
      for (const change of record.changes) if (change.type === 'set') freeze(change.object);
      objects.apply(record.changes);
      revision = record.revision;
      lost += record.lost;
      plain += record.plain;
      usable++;
    }
  } catch (error) {
    log.error({ component: 'checkpoint', path, err: messageOf(error) }, 'a checkpoint holds a record that is not understood');
  }
  if (usable === 0) {
    log.error({ component: 'checkpoint', path }, 'a checkpoint is unreadable from its start; trying the one before');
    return undefined;
  }
  const whole = usable === records.length && (state === 'whole' || state === 'torn');
  if (!whole) log.error({ component: 'checkpoint', path, records: usable }, 'a checkpoint is damaged in the middle; going on with the state before the damage until the control plane answers');
  else if (state === 'torn') log.warn({ component: 'checkpoint', path, bytes: bytes.length - end }, 'cut off the end of a checkpoint that was not fully written');
  if (lost > 0) log.error({ component: 'checkpoint', path, secrets: lost }, 'secrets in the checkpoint cannot be decrypted: pods that need them wait until the control plane answers');
  // With the next change a new file is begun, in which no Secret is plain or out of reach.
  const file = whole && newest && plain + lost === 0 ? await openForAppend(log, path, end) : undefined;
  return { objects, known: true, reliable: whole && lost === 0, revision, generation, file, snapshotBytes: records[0]?.length ?? 0 };
}

/** A file that can be read but not written (a read-only disk) still gives the state; writing is tried with the next change. */
async function openForAppend(log: Log, path: string, end: number): Promise<LogFile | undefined> {
  try {
    return await LogFile.open(path, end);
  } catch (error) {
    log.error({ component: 'checkpoint', path, err: messageOf(error) }, 'the checkpoint cannot be written');
    return undefined;
  }
}
