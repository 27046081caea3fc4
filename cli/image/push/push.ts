import { blobsOf, type ArchiveParts, type EncodedParts, decodeParts, encodeParts } from '#common/archive-parts.ts';
import { systemClock, type Clock } from '#common/clock.ts';
import { isStatus } from '#common/errors.ts';
import type { PushAnswer, PushCommand } from '#common/image-push.ts';
import type { Io } from '../../types.ts';
import type { ImageNode } from '../nodes.ts';
import type { ImageExchange } from '../request.ts';
import { NodeLink, refusal } from './link.ts';
import { PushPlan, pushPlanDefaults, type PlannedNode, type Step } from './plan.ts';
import { Regained } from './regained.ts';

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
  | { readonly parts: ArchiveParts; readonly read: (digest: string, from: number) => AsyncIterable<Uint8Array> }
  | { readonly from: ImageNode; readonly image: string };

export interface PushProgress {
  /** Bytes that left this machine. */
  sent(bytes: number): void;
  /** Blobs that a node has of those that it needs. */
  has(node: string, blobs: number, of: number): void;
  /** For whoever waits. */
  say(text: string): void;
}

/** A node that has answered. */
interface Joined { readonly link: NodeLink; readonly answer: PushAnswer }

interface Member {
  readonly node: ImageNode;
  readonly outcome: NodeOutcome;
  /** Where it is reached, and what it said there last. */
  joined: Joined;
}

interface Giver { readonly node: ImageNode; joined: Joined }

type Join = (node: ImageNode) => Promise<Joined>;

/**
 * Brings an image to nodes so that each blob leaves its source once: what a node has it is not sent, and nodes fetch
 * from each other. One that breaks off is asked again, with growing waits, and gets what it lacks by then. Resolves with
 * what became of each node; those that need the whole archive are for the caller. `open`: begins the verb `push` there.
 */
export async function pushBlobs(open: (node: string) => Promise<ImageExchange>, source: PushSource, nodes: readonly ImageNode[], progress: PushProgress, io: Io, clock: Clock = systemClock): Promise<NodeOutcome[]> {
  const outcomes = nodes.map(({ name }) => newOutcome(name));
  const names = nodes.map(({ name }) => name);
  const links: NodeLink[] = [];
  const join = async (node: ImageNode, command: PushCommand): Promise<Joined> => {
    const link = new NodeLink(await open(node.name), clock);
    links.push(link);
    return { link, answer: await link.demand(command) };
  };
  try {
    const share: Join = (node) => join(node, { do: 'share', image: 'from' in source ? source.image : '', nodes: names });
    const giver: Giver | undefined = 'from' in source ? { node: source.from, joined: await share(source.from) } : undefined;
    const archive: EncodedParts = 'from' in source ? giver?.joined.answer.archive ?? { pieces: [], layers: [], literals: '' } : encodeParts(source.parts);
    const offer: Join = (node) => join(node, { do: 'offer', archive, nodes: names.filter((name) => name !== node.name) });
    const members = (await Promise.all(nodes.map(async (node, i): Promise<Member[]> => {
      const outcome = outcomes[i] as NodeOutcome;
      try {
        return [{ node, outcome, joined: await offer(node) }];
      } catch (error) {
        io.interrupted.throwIfAborted();
        if (isUnknown(error)) outcome.whole = 'its agent, or the control plane, is of an older version';
        else outcome.failure = error;
        return [];
      }
    }))).flat();
    const blobs = blobsOf('from' in source ? decodeParts(archive) : source.parts);
    const regained = new Regained({ clock, say: (text) => { progress.say(text); } }, io.interrupted);
    const push = new Push({ offer, share, regained, progress, ...(!('from' in source) && { read: source.read }) }, members, giver, blobs);
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

interface PushDeps {
  readonly offer: Join;
  readonly share: Join;
  readonly regained: Regained;
  readonly progress: PushProgress;
  /** Absent where a node has the blobs. */
  readonly read?: (digest: string, from: number) => AsyncIterable<Uint8Array>;
}

class Push {
  readonly #deps: PushDeps;
  readonly #blobs: ReadonlyMap<string, number>;
  readonly #plan: PushPlan;
  readonly #giver: Giver | undefined;
  readonly #sharers: ReadonlyMap<string, Giver>;
  #givesAgain: Promise<void> | undefined;
  #giverBreaks = 0;
  #changed = Promise.withResolvers<undefined>();

  constructor(deps: PushDeps, members: readonly Member[], giver: Giver | undefined, blobs: ReadonlyMap<string, number>) {
    this.#deps = deps;
    this.#blobs = blobs;
    this.#giver = giver;
    this.#sharers = new Map([...(giver ? [giver] : []), ...members].map((sharer) => [sharer.node.name, sharer]));
    const planned = [...(giver ? [this.#planned(giver, [])] : []), ...members.map((member) => this.#planned(member, this.#missing(member)))];
    this.#plan = new PushPlan(planned, { ...pushPlanDefaults, canPut: deps.read !== undefined });
  }

  /** Until the image is made there, or it is clear that it will not be. */
  async bring(member: Member): Promise<void> {
    const { node, outcome } = member;
    outcome.hadBytes = this.#hasBytes(member);
    for (let { hadBytes } = outcome, breaks = 0; ;) {
      try {
        await this.#bring(member);
        return;
      } catch (error) {
        outcome.failure = error;
        this.#plan.lose(node.name);
        this.#wake();
        if (!member.joined.link.isBroken) return;
      }
      member.joined.link.close();
      try {
        member.joined = await this.#deps.regained.join(node.name, () => this.#deps.offer(node), outcome.failure, ++breaks);
        delete outcome.failure;
      } catch (error) {
        outcome.failure = error;
        return;
      }
      // A node that gets on may break off as often as it likes.
      if (this.#hasBytes(member) > hadBytes) breaks = 0;
      hadBytes = this.#hasBytes(member);
      this.#plan.rejoin(this.#planned(member, this.#missing(member)));
      this.#wake();
    }
  }

  async #bring(member: Member): Promise<void> {
    const { outcome, joined: { link, answer: { held = [] } } } = member;
    if (!await this.#gather(member)) return;
    const { names = [], error } = await link.ask({ do: 'import' });
    if (!error) outcome.names = names;
    // What it had when it was asked may be gone, or not be what its engine wants.
    else if (held.length > 0 && error.code !== 'Invalid') outcome.whole = `it could not make the image with what it had: ${error.message}`;
    else throw refusal(error);
  }

  #planned({ node: { name, site, addresses }, joined: { answer } }: Giver, missing: readonly string[]): PlannedNode {
    return { name, site, missing, shared: answer.shared ?? [], serves: answer.port !== undefined && addresses.length > 0 };
  }

  #missing({ joined: { answer: { held = [] } } }: Member): string[] {
    const has = new Set(held);
    return [...this.#blobs.keys()].filter((digest) => !has.has(digest));
  }

  #heldBytes({ joined: { answer: { held = [] } } }: Member): number {
    return held.reduce((total, digest) => total + (this.#blobs.get(digest) ?? 0), 0);
  }

  #hasBytes(member: Member): number {
    return Object.values(member.joined.answer.begun ?? {}).reduce((total, bytes) => total + bytes, this.#heldBytes(member));
  }

  /** False when somebody else has to bring all of it. */
  async #gather(member: Member): Promise<boolean> {
    const { node: { name }, outcome } = member;
    const missing = this.#missing(member).length;
    for (let came = 0; ;) {
      this.#deps.progress.has(name, came, missing);
      const step = this.#plan.next(name);
      if (step.do === 'done') return true;
      if (step.do === 'stuck') {
        if (await this.#regainGiver()) continue;
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

  /** The node that the image comes from has broken off, and is there again. */
  async #regainGiver(): Promise<boolean> {
    const giver = this.#giver;
    if (!giver?.joined.link.isBroken) return false;
    this.#givesAgain ??= (async () => {
      giver.joined = await this.#deps.regained.join(giver.node.name, () => this.#deps.share(giver.node), giver.joined.link.failure, ++this.#giverBreaks);
      this.#plan.rejoin(this.#planned(giver, []));
      this.#givesAgain = undefined;
      this.#wake();
    })();
    await this.#givesAgain;
    return true;
  }

  async #take(member: Member, step: Extract<Step, { digest: string }>): Promise<boolean> {
    const { node: { name }, outcome, joined: { link } } = member;
    const blob = { digest: step.digest, size: this.#blobs.get(step.digest) ?? 0 };
    if (step.do === 'fetch') {
      const { node: { addresses = [] } = {}, joined } = this.#sharers.get(step.from) ?? {};
      const { error } = await link.ask({ do: 'fetch', ...blob, node: step.from, hosts: addresses, port: joined?.answer.port ?? 0 });
      if (error) outcome.notes.push(error.message);
      else outcome.fromNodes[step.from] = (outcome.fromNodes[step.from] ?? 0) + blob.size;
      this.#plan.settle(name, error ? error.code === 'ServiceUnavailable' ? 'unreachable' : 'failed' : 'done');
      return !error;
    }
    await this.#put(member, blob);
    this.#plan.settle(name, 'done');
    return true;
  }

  /** What came of it before is not sent again, if that is what it should be. */
  async #put({ outcome, joined: { link, answer } }: Member, blob: { digest: string; size: number }): Promise<void> {
    const put = async (from: number): Promise<PushAnswer> => link.ask({ do: 'put', ...blob, ...(from > 0 && { from }) }, this.#counted(blob.digest, from, outcome));
    const begun = Math.min(answer.begun?.[blob.digest] ?? 0, blob.size);
    let { error } = await put(begun);
    if (error && begun > 0 && (error.code === 'Conflict' || error.code === 'Invalid')) ({ error } = await put(0));
    if (error) throw refusal(error);
  }

  async *#counted(digest: string, from: number, outcome: NodeOutcome): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of this.#deps.read?.(digest, from) ?? []) {
      yield chunk;
      outcome.fromHereBytes += chunk.length;
      this.#deps.progress.sent(chunk.length);
    }
  }

  #wake(): void {
    this.#changed.resolve(undefined);
    this.#changed = Promise.withResolvers<undefined>();
  }
}
