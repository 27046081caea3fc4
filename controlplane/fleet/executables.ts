import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isStatus, StatusError, toStatus } from '#common/errors.ts';
import type { NodeGateway } from '../apiserver/types.ts';
import { runHostTask } from './host-task.ts';

/** Of one architecture, packed. */
const maxBytes = 200 << 20;
/** Those of other versions and architectures that nobody has asked for lately. */
const keptExecutables = 4;

/** Executables that were sent here to be handed on to hosts, by the SHA-256 of the packed file. */
export class Executables {
  readonly #folder: string;

  constructor(stateDir: string) {
    this.#folder = join(stateDir, 'server/executables');
  }

  #path(sha256: string): string {
    if (!/^[0-9a-f]{64}$/.test(sha256)) throw new StatusError('BadRequest', 'name the executable by its SHA-256');
    return join(this.#folder, sha256);
  }

  /** How much of it is here, and whether that is all. */
  async state(sha256: string): Promise<{ readonly bytes: number; readonly whole: boolean }> {
    const [whole, part] = await Promise.all([this.#path(sha256), `${this.#path(sha256)}.part`].map((path) => stat(path).catch(() => undefined)));
    return { bytes: whole?.size ?? part?.size ?? 0, whole: whole !== undefined };
  }

  /** Takes the next bytes; with `last` it is checked. Sending goes on from where it was cut off. */
  async add(sha256: string, offset: number, bytes: Buffer, last: boolean): Promise<void> {
    const path = this.#path(sha256);
    const part = `${path}.part`;
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const file = await open(part, 'a', 0o600);
    try {
      const { size } = await file.stat();
      if (offset !== size) throw new StatusError('Conflict', `${String(size)} bytes are here, and not ${String(offset)}; go on from there`);
      if (size + bytes.length > maxBytes) throw new StatusError('RequestEntityTooLarge', 'that is larger than any executable of Cleat');
      await file.write(bytes);
      if (last) await file.sync();
    } finally {
      await file.close();
    }
    if (!last) return;
    const sum = createHash('sha256');
    for await (const chunk of createReadStream(part) as AsyncIterable<Buffer>) sum.update(chunk);
    if (sum.digest('hex') !== sha256) {
      await rm(part, { force: true });
      throw new StatusError('Invalid', 'what came is not what its SHA-256 says; send it again');
    }
    await rename(part, path);
    await this.#prune(sha256);
  }

  /** Hands it on to a node, which may have it. Yields lines of JSON: {sent}, then {done, message} or {error}. */
  async* push(nodes: Pick<NodeGateway, 'open'>, nodeName: string, sha256: string, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    const path = this.#path(sha256);
    const found = await stat(path).catch(() => undefined);
    if (!found) throw new StatusError('NotFound', 'that executable was not sent here');
    const task = { task: 'receive', purpose: 'executable', name: 'cleat', bytes: found.size, sha256, keep: 1 } as const;
    let sent = 0;
    let end: object | undefined;
    const work = runHostTask(nodes, nodeName, task, { read: () => createReadStream(path), sent: (bytes) => { sent = bytes; } }, signal)
      .then((message) => { end = { done: true, message }; }, (error: unknown) => { end = { error: describe(error) }; });
    // Somebody may be watching a slow link; every line also says that the work goes on.
    while (end === undefined) {
      const pause = Promise.withResolvers<undefined>();
      const timer = setTimeout(() => { pause.resolve(undefined); }, 1000);
      await Promise.race([work, pause.promise]);
      clearTimeout(timer);
      yield line(end ?? { sent, of: found.size });
    }
  }

  async #prune(newest: string): Promise<void> {
    const names = (await readdir(this.#folder)).filter((name) => name !== newest);
    const dated = await Promise.all(names.map(async (name) => ({ name, atMs: (await stat(join(this.#folder, name))).mtimeMs })));
    for (const { name } of dated.sort((a, b) => b.atMs - a.atMs).slice(keptExecutables - 1)) await rm(join(this.#folder, name), { force: true });
  }
}

function describe(error: unknown): { readonly code: string; readonly message: string } {
  const status = toStatus(error);
  return { code: status.code, message: isStatus(error) ? error.message : status.message };
}

function line(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value)}\n`);
}
