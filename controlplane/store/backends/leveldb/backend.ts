import { ClassicLevel, type BatchOperation } from 'classic-level';
import { access, constants, copyFile, link, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, StatusError } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import type { HeadNote, RowStore, RowWrite } from '../../types.ts';
import { HeadFile } from './head-file.ts';

type Database = ClassicLevel<string, Uint8Array>;

/** Small on purpose: values are cached above, and two write buffers may exist at once. */
const levelOptions = { writeBufferSize: 2 << 20, cacheSize: 2 << 20, maxOpenFiles: 64, multithreading: false } as const;
const scanBatch = 500;
/** As much as opening writes at most: a full write buffer. */
const probeBytes = 2 << 20;

/** Opens the LevelDB database in `dir`, made with mode 0700 when absent. `recover` copies it, then repairs it. */
export async function openLevelRows({ dir, log, recover }: { readonly dir: string; readonly log: Log; readonly recover: boolean }): Promise<RowStore> {
  await checkDir(dir);
  const db = newDatabase(dir);
  if (recover) await repair(dir, db, log);
  else await open(db);
  return new LevelRows(dir, db);
}

class LevelRows implements RowStore {
  readonly location: string;
  readonly #head: HeadFile;
  #db: Database;

  constructor(dir: string, db: Database) {
    this.location = dir;
    this.#db = db;
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
    try {
      return await this.#db.getMany([...names]);
    } catch (error) {
      throw translate(error, this.location);
    }
  }

  async write(rows: readonly RowWrite[], sync: boolean): Promise<void> {
    const operations = rows.map(({ name, bytes }): BatchOperation<Database, string, Uint8Array> => (bytes ? { type: 'put', key: name, value: bytes } : { type: 'del', key: name }));
    try {
      await this.#db.batch(operations, { sync });
    } catch (error) {
      throw translate(error, this.location);
    }
  }

  /**
   * LevelDB's log is out of step after a write that failed half-way: what it would append is lost at the
   * next start. Closing and opening replays the good part. Room is tried first, because a database that
   * cannot be opened again cannot be read either.
   */
  async reopen(): Promise<void> {
    const probe = join(this.location, 'probe');
    try {
      await writeFile(probe, Buffer.alloc(probeBytes), { flush: true });
    } catch (error) {
      throw translate(error, this.location);
    } finally {
      await rm(probe, { force: true });
    }
    await this.#db.close();
    this.#db = newDatabase(this.location);
    await open(this.#db);
  }

  noteHead(note: HeadNote): void { this.#head.write(note); }
  readHead(): HeadNote | undefined { return this.#head.read(); }

  async close(): Promise<void> {
    await this.#db.close();
    this.#head.close();
  }
}

function newDatabase(dir: string): Database {
  return new ClassicLevel<string, Uint8Array>(dir, { keyEncoding: 'utf8', valueEncoding: 'view', ...levelOptions });
}

/** A new database is made only where there is nothing that could be an old one: LevelDB would delete its tables. */
async function open(db: Database): Promise<void> {
  const files = await readdir(db.location, { withFileTypes: true });
  const tables = files.filter((file) => /\.(ldb|sst)$/.test(file.name)).length;
  const current = files.some((file) => file.name === 'CURRENT');
  if (!current && tables > 0) throw damaged(db.location, `${String(tables)} tables are there, but the file CURRENT that leads to them is not`);
  try {
    await db.open({ ...levelOptions });
  } catch (error) {
    throw translate(error, db.location);
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

/** Keeps a copy beside the directory, then lets LevelDB salvage what it can. Leaves `db` open. */
async function repair(dir: string, db: Database, log: Log): Promise<void> {
  const copy = await copyAside(dir);
  log.warn({ dir, copy }, 'store recovery begins; a copy of everything was kept');
  try {
    await open(db);
    return;
  } catch (error) {
    if (isLocked(error)) throw error;
    log.warn({ dir, err: messageOf(error) }, 'database cannot be opened; repairing it');
  }
  try {
    await ClassicLevel.repair(dir);
  } catch (error) {
    throw translate(error, dir);
  }
  await open(db);
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
    if (!file.isFile() || file.name === 'LOCK') continue;
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

function isLocked(error: unknown): boolean {
  return error instanceof StatusError && error.message.includes('in use by another process');
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
