import { messageOf, StatusError } from '#common/errors.ts';
import type { Invocation } from '../cluster-command.ts';
import type { Io } from '../types.ts';
import type { ArchiveFile } from './archive-file.ts';
import { knownNodes, type ImageNode } from './nodes.ts';
import { isUnknown, newOutcome, pushBlobs, type NodeOutcome, type PushProgress } from './push/push.ts';
import { openExchange, type ImageExchange } from './request.ts';
import { mib } from './size-text.ts';
import { transfer } from './transfer.ts';

/** Brings the images of an archive to nodes, and says how. Resolves with the failures. */
export async function deliver({ client, parsed, io }: Invocation, nodes: readonly ImageNode[], archive: ArchiveFile): Promise<unknown[]> {
  const { parts } = archive;
  const open = (node: string): Promise<ImageExchange> => openExchange(client, node, 'push', {}, io.interrupted);
  const meter = new Meter(io);
  try {
    const outcomes = parts
      ? await pushBlobs(open, { parts, read: (digest, from) => archive.read((parts.offsets.get(digest) ?? 0) + from, sizeIn(parts.pieces, digest) - from) }, nodes, meter, io)
      : nodes.map(({ name }) => ({ ...newOutcome(name), whole: '' }));
    const others = outcomes.filter(needsWhole);
    if (others.length > 0) await transfer(client, archive.read(), others, (bytes) => { meter.sent(bytes); }, io);
    meter.clear();
    return tell(outcomes, parsed.string('output'), io);
  } finally {
    meter.clear();
  }
}

/** Likewise for an image of node `from`, from which the others fetch it themselves if they can. */
export async function passOn({ client, parsed, io }: Invocation, nodes: readonly ImageNode[], from: string, image: string): Promise<unknown[]> {
  const giver = (await knownNodes(client)).find(({ name }) => name === from);
  if (!giver) throw new StatusError('NotFound', `there is no node ${from}; see cleat nodes`);
  const meter = new Meter(io);
  const open = (node: string): Promise<ImageExchange> => openExchange(client, node, 'push', {}, io.interrupted);
  try {
    const outcomes = await pushBlobs(open, { from: giver, image }, nodes, meter, io).catch((error: unknown) => {
      io.interrupted.throwIfAborted();
      if (!isUnknown(error)) throw error;
      return nodes.map(({ name }): NodeOutcome => ({ ...newOutcome(name), whole: `the agent of ${from}, or the control plane, is of an older version` }));
    });
    const others = outcomes.filter(needsWhole);
    if (others.length > 0) {
      const exchange = await openExchange(client, from, 'save', { image }, io.interrupted);
      try {
        await transfer(client, savedBy(exchange), others, (bytes) => { meter.sent(bytes); }, io);
      } finally {
        exchange.close();
      }
    }
    meter.clear();
    return tell(outcomes, parsed.string('output'), io);
  } finally {
    meter.clear();
  }
}

function needsWhole({ whole, failure }: NodeOutcome): boolean {
  return whole !== undefined && failure === undefined;
}

function sizeIn(pieces: readonly (number | { readonly digest: string; readonly size: number })[], digest: string): number {
  return pieces.reduce<number>((size, piece) => (typeof piece === 'object' && piece.digest === digest ? piece.size : size), 0);
}

async function* savedBy(exchange: ImageExchange): AsyncGenerator<Uint8Array, void, undefined> {
  const finished = exchange.finish();
  finished.catch(() => undefined);
  yield* exchange.output;
  await finished;
}

/** Says what became of each node; resolves with the failures. */
function tell(outcomes: readonly NodeOutcome[], form: string | undefined, io: Io): unknown[] {
  io.interrupted.throwIfAborted();
  const failed = outcomes.flatMap(({ node, failure }) => (failure === undefined ? [] : [new StatusError('InternalError', `node ${node}: ${messageOf(failure)}`, { cause: failure })]));
  const sentBytes = outcomes.reduce((total, { fromHereBytes }) => total + fromHereBytes, 0);
  if (form === 'json') {
    io.out(`${JSON.stringify({ sentBytes, nodes: outcomes.map(({ whole, failure, ...outcome }) => ({ ...outcome, ...(whole && { whole }), ...(failure !== undefined && { error: messageOf(failure) }) })) }, null, 4)}\n`);
    return failed;
  }
  for (const { node, names, whole, notes, failure, hadBytes, fromHereBytes, fromNodes } of outcomes) {
    for (const note of new Set([...notes, ...(whole ? [`all of it was sent: ${whole}`] : [])])) io.err(`node ${node}: ${note}\n`);
    if (failure !== undefined) continue;
    const ways = [[fromHereBytes, 'from this machine'] as const, ...Object.entries(fromNodes).map(([name, bytes]) => [bytes, `from ${name}`] as const), [whole === undefined ? hadBytes : 0, 'there before'] as const].filter(([bytes]) => bytes > 0);
    for (const name of names) io.out(`${name} loaded on ${node}${ways.length > 0 ? ` (${ways.map(([bytes, how]) => `${mib(bytes)} ${how}`).join(', ')})` : ''}\n`);
  }
  if (outcomes.length > 1) io.out(`${mib(sentBytes)} left this machine for ${String(outcomes.length)} nodes\n`);
  return failed;
}

const meterMs = 200;

/** How far it is, on a terminal only. */
class Meter implements PushProgress {
  readonly #io: Io;
  readonly #nodes = new Map<string, string>();
  #bytes = 0;
  #shownMs = 0;

  constructor(io: Io) {
    this.#io = io;
  }

  sent(bytes: number): void {
    this.#bytes += bytes;
    this.#show();
  }

  has(node: string, blobs: number, of: number): void {
    this.#nodes.set(node, `${node} ${String(blobs)}/${String(of)}`);
    this.#show();
  }

  say(text: string): void {
    this.clear();
    this.#io.err(text);
  }

  clear(): void {
    if (this.#shownMs > 0) this.#io.err('\r\u001b[K');
    this.#shownMs = 0;
  }

  #show(): void {
    const nowMs = performance.now();
    if (!this.#io.terminal || nowMs - this.#shownMs < meterMs) return;
    this.#shownMs = nowMs;
    this.#io.err(`\r${[`${mib(this.#bytes)} sent`, ...this.#nodes.values()].join('; ')}\u001b[K`);
  }
}
