import { Level, type BatchOperation } from 'level';
import { access, constants, copyFile, link, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isStatus, messageOf, StatusError } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import type { HeadNote, RowStore, RowWrite } from '../../types.ts';
import { HeadFile } from './head-file.ts';
import { Room } from './room.ts';

type Database = Level<string, Uint8Array>;

/** Small on purpose: values are cached above, and two write buffers may exist at once. */
const levelOptions = { writeBufferSize: 2 << 20, cacheSize: 2 << 20, maxOpenFiles: 64, multithreading: false } as const;
const scanBatch = 500;

/** Opens the LevelDB database in `dir`, made with mode 0700 when absent. `recover` copies it, then repairs it. */
export async function openLevelRows({ dir, log, recover }: { readonly dir: string; readonly log: Log; readonly recover: boolean }): Promise<RowStore> {
  await checkDir(dir);
  const room = new Room(dir);
  const rows = new LevelRows(dir, recover ? await repair(dir, room, log) : await open(dir, room), room);
  await room.keep().catch((error: unknown) => { if (room.shortage) log.error({ dir, err: messageOf(error) }, 'store can be read, but is not written until there is room'); });
  return rows;
}

class LevelRows implements RowStore {
  readonly location: string;
  readonly #head: HeadFile;
  readonly #room: Room;
  #db: Database;
  /** Reads wait for the moment in which the database is closed. */
  #reopening: Promise<undefined> | undefined;

  constructor(dir: string, db: Database, room: Room) {
    this.location = dir;
    this.#db = db;
    this.#room = room;
    this.#head = new HeadFile(join(dir, 'HEAD'));
  }

  async * scan(from: string, to: string): AsyncGenerator<readonly (readonly [string, Uint8Array])[]> {
    const iterator = this.#db.iterator({ gte: from, lt: to, highWaterMarkBytes: 1 << 20 });
    try {
      for (;;) {
        const rows = await iterator.nextv(scanBatch);
        if (rows.length === 0) return;
        yield rows;
      }
    } catch (error) {
      throw translate(error, this.location);
    } finally {
      await iterator.close();
    }
  }

  async getMany(names: readonly string[]): Promise<readonly (Uint8Array | undefined)[]> {
    await this.#reopening;
    try {
      return await this.#db.getMany([...names]);
    } catch (error) {
      throw translate(error, this.location);
    }
  }

  async write(rows: readonly RowWrite[], sync: boolean): Promise<void> {
    const operations = rows.map(({ name, bytes }): BatchOperation<Database, string, Uint8Array> => (bytes ? { type: 'put', key: name, value: bytes } : { type: 'del', key: name }));
    try {
      if (this.#room.shortage) throw this.#room.shortage;
      await this.#db.batch(operations, { sync });
    } catch (error) {
      throw translate(error, this.location);
    }
  }

  /**
   * LevelDB's log is out of step after a write that failed half-way: what it would append is lost at the
   * next start. Closing and opening replays the good part.
   */
  async reopen(): Promise<void> {
    try {
      await this.#room.keep();
    } catch (error) {
      throw translate(error, this.location);
    }
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.#reopening = promise;
    try {
      await this.#db.close();
      this.#db = await open(this.location, this.#room);
    } finally {
      this.#reopening = undefined;
      resolve(undefined);
    }
  }

  noteHead(note: HeadNote): void { this.#head.write(note); }
  readHead(): HeadNote | undefined { return this.#head.read(); }

  async close(): Promise<void> {
    await this.#db.close();
    this.#head.close();
  }
}

/** A new database is made only where there is nothing that could be an old one: LevelDB would delete its tables. */
async function open(dir: string, room: Room): Promise<Database> {
  try {
    return await openOnce(dir);
  } catch (error) {
    if (!messageOf(error).includes('No space left') || !await room.giveUp()) throw error;
    return openOnce(dir);
  }
}

async function openOnce(dir: string): Promise<Database> {
  const files = await readdir(dir);
  const tables = files.filter((name) => /\.(ldb|sst)$/.test(name)).length;
  if (tables > 0 && !files.includes('CURRENT')) throw damaged(dir, `${String(tables)} tables are there, but the file CURRENT that leads to them is not`);
  const db = new Level<string, Uint8Array>(dir, { keyEncoding: 'utf8', valueEncoding: 'view', ...levelOptions });
  try {
    await db.open();
    return db;
  } catch (error) {
    throw translate(error, dir);
  }
}

async function checkDir(dir: string): Promise<void> {
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await access(dir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new StatusError('Forbidden', `the store's directory ${dir} cannot be used: ${messageOf(error)}; make it a directory that this user may read and write, or choose another with --state-dir`, { cause: error });
  }
}

/** Keeps a copy beside the directory, then lets LevelDB salvage what it can, unless it opens as it is. */
async function repair(dir: string, room: Room, log: Log): Promise<Database> {
  const copy = await copyAside(dir);
  log.warn({ dir, copy }, 'store recovery begins; a copy of everything was kept');
  try {
    return await openAndRead(dir, room);
  } catch (error) {
    if (!isStatus(error, 'InternalError')) throw error;
    log.warn({ dir, err: messageOf(error) }, 'database cannot be read; repairing it');
  }
  try {
    const { ClassicLevel } = await import('classic-level'); // `level` is this on Node, but does not declare `repair`
    await ClassicLevel.repair(dir);
  } catch (error) {
    throw translate(error, dir);
  }
  return open(dir, room);
}

async function openAndRead(dir: string, room: Room): Promise<Database> {
  const db = await open(dir, room);
  const iterator = db.iterator();
  try {
    while ((await iterator.nextv(scanBatch)).length > 0) continue;
    await iterator.close();
    return db;
  } catch (error) {
    await db.close();
    throw translate(error, dir);
  }
}

/** Tables never change and are linked; everything else is copied. */
async function copyAside(dir: string): Promise<string> {
  let copy = `${dir}.before-recovery`;
  for (let n = 2; ; n++) {
    try {
      await mkdir(copy, { mode: 0o700 });
      break;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw translate(error, dir);
      copy = `${dir}.before-recovery-${String(n)}`;
    }
  }
  for (const file of await readdir(dir, { withFileTypes: true })) {
    if (!file.isFile() || file.name === 'LOCK' || file.name === 'ROOM') continue;
    const [from, to] = [join(dir, file.name), join(copy, file.name)];
    if (file.name.endsWith('.ldb')) await link(from, to);
    else await copyFile(from, to);
  }
  return copy;
}

/** LevelDB's errors in ours. A failed open carries the reason as its cause. */
function translate(error: unknown, dir: string): StatusError {
  if (error instanceof StatusError) return error;
  const reason = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const text = messageOf(reason);
  // LevelDB has no other way to say that a file of its own is gone.
  if (text.includes('No such file or directory')) return damaged(dir, text, error);
  switch (codeOf(reason)) {
    case 'LEVEL_LOCKED':
      return new StatusError('ServiceUnavailable', `the store in ${dir} is in use by another process (${text}); stop that one first, or choose another directory with --state-dir`, { cause: error });
    case 'LEVEL_CORRUPTION':
      return damaged(dir, text, error);
    default:
      return new StatusError('ServiceUnavailable', `the disk refuses the store in ${dir}: ${text}; check free space and permissions`, { cause: error, retryAfterMs: 1000 });
  }
}

function damaged(dir: string, what: string, cause?: unknown): StatusError {
  return new StatusError('InternalError', `the store in ${dir} is damaged: ${what}. Restore a backup, or start once with --store-recover, which keeps a copy, keeps everything readable and lists what is lost`, { cause });
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
