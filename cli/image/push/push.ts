import { blobsOf, type ArchiveParts, type EncodedParts, decodeParts, encodeParts } from '#common/archive-parts.ts';
import { isStatus } from '#common/errors.ts';
import type { PushAnswer } from '#common/image-push.ts';
import type { RestClient } from '../../client.ts';
import type { Io } from '../../types.ts';
import type { ImageNode } from '../nodes.ts';
import { openExchange } from '../request.ts';
import { NodeLink, refusal } from './link.ts';
import { PushPlan, pushPlanDefaults, type Step } from './plan.ts';

/** What becomes of an image on one node. */
export interface NodeOutcome {
  readonly node: string;
  names: readonly string[];
  /** Bytes that were there before. */
  hadBytes: number;
  fromHereBytes: number;
  readonly fromNodes: Record<string, number>;
  /** Why something did not go the short way. */
  readonly notes: string[];
  /** Set when the whole archive has to go there instead, and why. */
  whole?: string;
  failure?: unknown;
}

/** Where the blobs of a push come from: this machine, or a node that has the image. */
export type PushSource =
  | { readonly parts: ArchiveParts; readonly read: (digest: string) => AsyncIterable<Uint8Array> }
  | { readonly from: ImageNode; readonly image: string };

export interface PushProgress {
  /** Bytes that left this machine. */
  sent(bytes: number): void;
  /** Blobs that a node has of those that it needs. */
  has(node: string, blobs: number, of: number): void;
}

interface Member {
  readonly node: ImageNode;
  readonly link: NodeLink;
  readonly outcome: NodeOutcome;
  readonly answer: PushAnswer;
}

/**
 * Brings an image to nodes so that each blob leaves its source once: what a node has it is not sent, and nodes fetch
 * from each other. Resolves with what became of each node; those that need the whole archive are for the caller.
 */
export async function pushBlobs(client: RestClient, source: PushSource, nodes: readonly ImageNode[], progress: PushProgress, io: Io): Promise<NodeOutcome[]> {
  const outcomes = nodes.map(({ name }) => newOutcome(name));
  const open = async (node: ImageNode): Promise<NodeLink> => new NodeLink(await openExchange(client, node.name, 'push', {}, io.interrupted));
  const names = nodes.map(({ name }) => name);
  const links: NodeLink[] = [];
  try {
    let giver: { link: NodeLink; answer: PushAnswer } | undefined;
    if ('from' in source) {
      const link = await open(source.from);
      links.push(link);
      giver = { link, answer: await link.demand({ do: 'share', image: source.image, nodes: names }) };
    }
    const archive: EncodedParts = 'from' in source ? giver?.answer.archive ?? { pieces: [], layers: [], literals: '' } : encodeParts(source.parts);
    const members = (await Promise.all(nodes.map(async (node, i): Promise<Member[]> => {
      const outcome = outcomes[i] as NodeOutcome;
      try {
        const link = await open(node);
        links.push(link);
        const answer = await link.demand({ do: 'offer', archive, nodes: names.filter((name) => name !== node.name) });
        return [{ node, link, outcome, answer }];
      } catch (error) {
        io.interrupted.throwIfAborted();
        if (isUnknown(error)) outcome.whole = 'its agent, or the control plane, is of an older version';
        else outcome.failure = error;
        return [];
      }
    }))).flat();
    const blobs = blobsOf('from' in source ? decodeParts(archive) : source.parts);
    const from = 'from' in source ? [{ ...source.from, shared: giver?.answer.shared ?? [], port: giver?.answer.port }] : [];
    const push = new Push(members, from, blobs, 'from' in source ? undefined : source.read, progress);
    await Promise.all(members.map((member) => push.bring(member)));
    await Promise.all(links.map((link) => link.end()));
    return outcomes;
  } finally {
    for (const link of links) link.close();
  }
}

export function newOutcome(node: string): NodeOutcome {
  return { node, names: [], hadBytes: 0, fromHereBytes: 0, fromNodes: {}, notes: [] };
}

/** An agent or a control plane that knows nothing of such pushes. */
export function isUnknown(error: unknown): boolean {
  return isStatus(error, 'BadRequest', 'NotFound', 'MethodNotAllowed');
}

interface Giver extends ImageNode { readonly shared: readonly string[]; readonly port: number | undefined }

class Push {
  readonly #blobs: ReadonlyMap<string, number>;
  readonly #read: ((digest: string) => AsyncIterable<Uint8Array>) | undefined;
  readonly #progress: PushProgress;
  readonly #plan: PushPlan;
  readonly #givers: ReadonlyMap<string, Giver>;
  #changed = Promise.withResolvers<undefined>();

  constructor(members: readonly Member[], from: readonly Giver[], blobs: ReadonlyMap<string, number>, read: ((digest: string) => AsyncIterable<Uint8Array>) | undefined, progress: PushProgress) {
    this.#blobs = blobs;
    this.#read = read;
    this.#progress = progress;
    const givers = [...from, ...members.map(({ node, answer }): Giver => ({ ...node, shared: answer.shared ?? [], port: answer.port }))];
    this.#givers = new Map(givers.map((giver) => [giver.name, giver]));
    this.#plan = new PushPlan(givers.map(({ name, site, shared, port, addresses }) => {
      const member = members.find(({ node }) => node.name === name);
      return { name, site, shared, serves: port !== undefined && addresses.length > 0, missing: member ? this.#missing(member) : [] };
    }), { ...pushPlanDefaults, canPut: read !== undefined });
  }

  /** Until the image is made there, or it is clear that it will not be. */
  async bring(member: Member): Promise<void> {
    const { node, outcome, link, answer: { held = [] } } = member;
    outcome.hadBytes = held.reduce((total, digest) => total + (this.#blobs.get(digest) ?? 0), 0);
    try {
      if (!await this.#gather(member)) return;
      const { names = [], error } = await link.ask({ do: 'import' });
      if (!error) outcome.names = names;
      // What it had when it was asked may be gone, or not be what its engine wants.
      else if (held.length > 0 && error.code !== 'Invalid') outcome.whole = `it could not make the image with what it had: ${error.message}`;
      else throw refusal(error);
    } catch (error) {
      outcome.failure = error;
      this.#plan.lose(node.name);
      this.#wake();
    }
  }

  #missing({ answer: { held = [] } }: Member): string[] {
    const has = new Set(held);
    return [...this.#blobs.keys()].filter((digest) => !has.has(digest));
  }

  /** False when somebody else has to bring all of it. */
  async #gather(member: Member): Promise<boolean> {
    const { node: { name }, outcome } = member;
    const missing = this.#missing(member).length;
    for (let came = 0; ;) {
      this.#progress.has(name, came, missing);
      const step = this.#plan.next(name);
      if (step.do === 'done') return true;
      if (step.do === 'stuck') {
        outcome.whole = outcome.notes.at(-1) ?? 'no node that it can reach has the image';
        return false;
      }
      if (step.do === 'wait') await this.#changed.promise;
      else {
        if (await this.#take(member, step)) came++;
        this.#wake();
      }
    }
  }

  async #take(member: Member, step: Extract<Step, { digest: string }>): Promise<boolean> {
    const { node: { name }, outcome, link } = member;
    const blob = { digest: step.digest, size: this.#blobs.get(step.digest) ?? 0 };
    if (step.do === 'fetch') {
      const { addresses = [], port = 0 } = this.#givers.get(step.from) ?? {};
      const { error } = await link.ask({ do: 'fetch', ...blob, node: step.from, hosts: addresses, port });
      if (error) outcome.notes.push(error.message);
      else outcome.fromNodes[step.from] = (outcome.fromNodes[step.from] ?? 0) + blob.size;
      this.#plan.settle(name, error ? error.code === 'ServiceUnavailable' ? 'unreachable' : 'failed' : 'done');
      return !error;
    }
    const { error } = await link.ask({ do: 'put', ...blob }, this.#counted(blob.digest, outcome));
    if (error) throw refusal(error);
    this.#plan.settle(name, 'done');
    return true;
  }

  async *#counted(digest: string, outcome: NodeOutcome): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of this.#read?.(digest) ?? []) {
      yield chunk;
      outcome.fromHereBytes += chunk.length;
      this.#progress.sent(chunk.length);
    }
  }

  #wake(): void {
    this.#changed.resolve(undefined);
    this.#changed = Promise.withResolvers<undefined>();
  }
}
