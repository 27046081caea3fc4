import { isRecord } from '#api/meta/json.ts';
import { blobsOf, decodeParts, encodeParts, isDigest, partsOf, rangeOf, wholeArchive, type ArchiveParts, type Blob, type PartsOfFile } from '#common/archive-parts.ts';
import { isStatus, messageOf, StatusError, toStatus } from '#common/errors.ts';
import { LineReader, type PushAnswer, type PushCommand } from '#common/image-push.ts';
import type { Log } from '#common/log.ts';
import { spool, type Spooled } from '#common/spool.ts';
import type { HeldLayer, RuntimeDriver } from '#agent/runtimes/types.ts';
import type { Identity } from '#agent/session/identity.ts';
import type { ReceivedBlobs } from './blobs.ts';
import { fetchBlob, servePeers, type Peer } from './peers.ts';

export interface ServePushDeps {
  readonly driver: Pick<RuntimeDriver, 'exportImage' | 'imageId' | 'heldLayers'>;
  readonly blobs: ReceivedBlobs;
  /** Makes images of an archive; resolves with their names. */
  readonly load: (archive: AsyncIterable<Uint8Array>, signal: AbortSignal) => Promise<readonly string[]>;
  readonly identity: () => Promise<Identity | undefined>;
  readonly log: Log;
}

/** This node's part in one push, from the first command to the last; see PushCommand. What it keeps open for others ends with it. */
export async function servePush(deps: ServePushDeps, commands: AsyncIterable<Uint8Array>, say: (answer: PushAnswer) => Promise<void>, signal: AbortSignal): Promise<void> {
  const over = new AbortController();
  const push = new Push(deps, AbortSignal.any([signal, over.signal]));
  const reader = new LineReader(commands);
  try {
    for (let line = await reader.line(); line !== undefined; line = await reader.line()) {
      const command = parse(line);
      // All of a blob is read, whatever becomes of it: the next command comes after it.
      const left = { size: command.do === 'put' ? command.size - (command.from ?? 0) : 0 };
      let answer: PushAnswer;
      try {
        answer = await push.perform(command, reader.bytes(left));
      } catch (error) {
        signal.throwIfAborted();
        const { code, message } = toStatus(error);
        answer = { error: { code, message } };
      }
      await reader.drop(left);
      await say(answer);
    }
  } finally {
    over.abort(new StatusError('ServiceUnavailable', 'the push is over'));
    await push.close();
  }
}

class Push {
  readonly #deps: ServePushDeps;
  readonly #signal: AbortSignal;
  #parts: ArchiveParts | undefined;
  /** Of the image that it is about, with sizes; nothing else is given to anybody. */
  #blobs: ReadonlyMap<string, number> = new Map();
  /** In the runtime. */
  #held: ReadonlyMap<string, HeldLayer> = new Map();
  #exported: (Spooled & Pick<PartsOfFile, 'offsets'>) | undefined;
  #done = false;

  constructor(deps: ServePushDeps, signal: AbortSignal) {
    this.#deps = deps;
    this.#signal = signal;
  }

  async perform(command: PushCommand, bytes: AsyncIterable<Uint8Array>): Promise<PushAnswer> {
    switch (command.do) {
      case 'offer': return this.#offer(decodeParts(command.archive), command.nodes);
      case 'share': return this.#share(command.image, command.nodes);
      case 'put': {
        await this.#deps.blobs.receive(this.#wanted(command.digest), bytes, command.from);
        return {};
      }
      case 'fetch': {
        await this.#fetch(command, this.#wanted(command.digest));
        return {};
      }
      case 'import': return { names: await this.#import() };
    }
  }

  async close(): Promise<void> {
    await this.#exported?.file.close();
    // Of an image that is shared nothing was held.
    await this.#deps.blobs.release(this.#parts ? this.#blobs.keys() : [], this.#done);
  }

  async #offer(parts: ArchiveParts, nodes: readonly string[]): Promise<PushAnswer> {
    const { blobs, driver, log } = this.#deps;
    this.#once();
    this.#parts = parts;
    this.#blobs = blobsOf(parts);
    blobs.hold(this.#blobs.keys());
    try {
      this.#held = await driver.heldLayers?.(parts.layers, this.#signal) ?? new Map<string, HeldLayer>();
    } catch (error) {
      this.#signal.throwIfAborted();
      log.debug({ err: messageOf(error) }, 'which layers are here cannot be told; all are asked for');
    }
    const arrived = (await Promise.all([...this.#blobs].map(async ([digest, size]) => (await blobs.has({ digest, size }) ? [digest] : [])))).flat();
    const held = [...this.#blobs.keys()].filter((digest) => this.#held.has(digest));
    const begun = await blobs.begun(this.#blobs.keys());
    return { held: [...new Set([...arrived, ...held])], begun: Object.fromEntries(begun), shared: [...new Set([...arrived, ...held.filter((digest) => this.#held.get(digest) !== 'in place')])], ...await this.#listen(nodes) };
  }

  /** Goes on with what came of it before, where there is something and the peer can. */
  async #fetch(peer: Peer, blob: Blob): Promise<void> {
    const { blobs } = this.#deps;
    const identity = await this.#deps.identity();
    if (!identity) throw new StatusError('ServiceUnavailable', 'this node has no certificate');
    const fetch = (from: number): Promise<void> => fetchBlob(identity, peer, blob, from, (source) => blobs.receive(blob, source, from), this.#signal);
    const begun = (await blobs.begun([blob.digest])).get(blob.digest) ?? 0;
    try {
      await fetch(begun);
    } catch (error) {
      if (begun === 0 || !isStatus(error, 'NotFound', 'Conflict', 'Invalid')) throw error;
      await fetch(0);
    }
  }

  async #share(image: string, nodes: readonly string[]): Promise<PushAnswer> {
    const { blobs, driver } = this.#deps;
    this.#once();
    if (await driver.imageId(image, this.#signal) === undefined) throw new StatusError('NotFound', `this node has no image ${image}`);
    const spooled = await spool(driver.exportImage(image, this.#signal), await blobs.makeFolder());
    this.#exported = { ...spooled, offsets: new Map() };
    const parts = await partsOf(spooled.file, spooled.bytes, this.#signal);
    this.#exported = { ...spooled, offsets: parts.offsets };
    this.#blobs = blobsOf(parts);
    return { archive: encodeParts(parts), shared: [...this.#blobs.keys()], ...await this.#listen(nodes) };
  }

  #once(): void {
    if (this.#parts ?? this.#exported) throw new StatusError('BadRequest', 'a push is about one image');
  }

  /** Without it the others get all from elsewhere. */
  async #listen(nodes: readonly string[]): Promise<Pick<PushAnswer, 'port'>> {
    const { identity: load, log } = this.#deps;
    if (nodes.length === 0) return {};
    try {
      const identity = await load();
      return identity ? { port: await servePeers({ identity, log, open: (digest, from) => this.#open(digest, from) }, nodes, this.#signal) } : {};
    } catch (error) {
      log.warn({ err: messageOf(error) }, 'other nodes can fetch nothing here');
      return {};
    }
  }

  async #open(digest: string, from: number): Promise<{ size: number; bytes: AsyncIterable<Uint8Array> } | undefined> {
    const size = this.#blobs.get(digest);
    if (size === undefined || from > size) return undefined;
    const offset = this.#exported?.offsets.get(digest);
    if (this.#exported && offset !== undefined) return { size, bytes: rangeOf(this.#exported.file, offset + from, size - from) };
    if (await this.#deps.blobs.has({ digest, size })) return { size, bytes: this.#deps.blobs.read(digest, from) };
    const held = this.#held.get(digest);
    return typeof held === 'function' ? { size, bytes: after(held(), from) } : undefined;
  }

  #wanted(digest: string): { digest: string; size: number } {
    const size = this.#blobs.get(digest);
    if (size === undefined || !this.#parts) throw new StatusError('BadRequest', `${digest} is no part of the image that was offered`);
    return { digest, size };
  }

  async #import(): Promise<readonly string[]> {
    const { blobs, load } = this.#deps;
    const parts = this.#parts;
    if (!parts) throw new StatusError('BadRequest', 'no image was offered');
    const missing = (await Promise.all([...this.#blobs].map(async ([digest, size]) => (this.#held.has(digest) || await blobs.has({ digest, size }) ? [] : [digest])))).flat();
    if (missing.length > 0) throw new StatusError('Conflict', `${String(missing.length)} blobs of the image are not here, ${missing[0] ?? ''} for one`);
    const names = await load(wholeArchive(parts, ({ digest }) => {
      const held = this.#held.get(digest);
      return held === undefined ? blobs.read(digest) : held === 'in place' ? undefined : held();
    }), this.#signal);
    this.#done = true;
    return names;
  }
}

async function* after(source: AsyncIterable<Uint8Array>, bytes: number): AsyncGenerator<Uint8Array, void, undefined> {
  let left = bytes;
  for await (const chunk of source) {
    const own = chunk.subarray(Math.min(left, chunk.length));
    left -= chunk.length - own.length;
    if (own.length > 0) yield own;
  }
}

function parse(line: string): PushCommand {
  try {
    const command: unknown = JSON.parse(line);
    if (isRecord(command) && isCommand(command)) return command as unknown as PushCommand;
  } catch {
    // Said below.
  }
  throw new StatusError('BadRequest', 'a command of a push that is not what the contract says; are both of the same version?');
}

function isCommand({ do: verb, digest, size, from = 0, image, archive, nodes, node, hosts, port }: Record<string, unknown>): boolean {
  const areNames = (value: unknown): boolean => Array.isArray(value) && value.every((name) => typeof name === 'string');
  const isBlob = isDigest(digest) && Number.isSafeInteger(size) && Number(size) >= 0;
  switch (verb) {
    case 'offer': return isRecord(archive) && areNames(nodes);
    case 'share': return typeof image === 'string' && image !== '' && areNames(nodes);
    case 'put': return isBlob && Number.isSafeInteger(from) && Number(from) >= 0 && Number(from) <= Number(size);
    case 'fetch': return isBlob && typeof node === 'string' && areNames(hosts) && Number.isInteger(port) && Number(port) > 0 && Number(port) < 65_536;
    case 'import': return true;
    default: return false;
  }
}
