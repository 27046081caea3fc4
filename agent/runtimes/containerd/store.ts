import { createHash } from 'node:crypto';
import { Client, credentials, Metadata, status, type ClientReadableStream, type MethodDefinition } from '@grpc/grpc-js';
import { loadContract } from '#proto/load.ts';
import { pullLeasePrefix } from './pull-leases.ts';
import type { PullProgress } from '../types.ts';

interface Info { readonly digest: string; readonly size: number; readonly createdAt: { readonly seconds: number } | null; readonly labels: Readonly<Record<string, string>> }
interface Status { readonly ref: string; readonly offset: number; readonly total: number }
interface Manifest { readonly layers?: readonly { readonly digest: string; readonly size: number }[] }

const quickMs = 10_000;
/** A layer is read no faster than it is taken. */
const readMs = 3_600_000;
const maxDescriptionBytes = 4 << 20;
/** containerd's, on what it has stored of an image: the things that this one names, and where it came from. */
const child = /^containerd\.io\/gc\.ref\.content/;
const source = 'containerd.io/distribution.source.';
/** What a packed layer is when it is unpacked, once that was done. */
const uncompressed = 'containerd.io/uncompressed';

/** For whoever never comes back: a pod that waits for its image tries again every five minutes. */
const leaseMs = 24 * 3_600_000;

type Service = Readonly<Record<string, MethodDefinition<object, object>>>;

/**
 * containerd's content store, as far as pulls are concerned. What a pull that failed has brought stays there, to be gone
 * on with, only as long as a lease holds it. Every method rejects where the runtime is another one.
 */
export class ContainerdStore {
  readonly #client: Client;
  readonly #content = service('../../../proto/third_party/containerd/content.proto', 'containerd.services.content.v1.Content');
  readonly #leases = service('../../../proto/third_party/containerd/leases.proto', 'containerd.services.leases.v1.Leases');
  readonly #metadata = new Metadata();

  constructor(endpoint: string, namespace: string) {
    this.#client = new Client(`unix:${endpoint}`, credentials.createInsecure());
    this.#metadata.set('containerd-namespace', namespace);
  }

  /** Resolves with the lease for pulls of an image, the one of an earlier try where there is one. */
  async hold(image: string, nowMs: number): Promise<string> {
    const id = `${pullLeasePrefix}${createHash('sha256').update(image).digest('hex').slice(0, 16)}`;
    const labels = { 'containerd.io/gc.expire': new Date(nowMs + leaseMs).toISOString() };
    try {
      await this.#unary(this.#leases, 'Create', { id, labels });
    } catch (error) {
      if ((error as { code?: unknown }).code !== status.ALREADY_EXISTS) throw error;
    }
    return id;
  }

  /** What it held may be collected, unless an image has it. */
  async release(lease: string): Promise<void> {
    await this.#unary(this.#leases, 'Delete', { id: lease });
  }

  /** Adds what another pull brings or has brought: an ingest by its ref, content by its digest. */
  async add(lease: string, type: 'ingests' | 'content', id: string): Promise<void> {
    await this.#unary(this.#leases, 'AddResource', { id: lease, resource: { id, type } });
  }

  /** How far the pull of an image from a repository is; undefined while nothing of it is known, and when all is there. */
  async progress(registry: string, repository: string): Promise<PullProgress | undefined> {
    const { statuses } = await this.#statuses();
    const active = new Map(statuses.flatMap((one) => (one.ref.startsWith('layer-') ? [[one.ref.slice('layer-'.length), one] as const] : [])));
    if (active.size === 0) return undefined;
    // Ports are not part of the label.
    const host = registry.replace(/:\d+$/, '');
    const infos = await this.#list();
    const stored = new Map(infos.map(({ digest, size }) => [digest, size]));
    const manifests = infos.filter(({ labels }) => Object.entries(labels).some(([name, digest]) => child.test(name) && active.has(digest)));
    const own = manifests.filter(({ labels }) => (labels[`${source}${host}`] ?? repository).split(',').includes(repository));
    const layers = new Map<string, number>();
    for (const { digest } of own) for (const layer of (await this.json<Manifest>(digest)).layers ?? []) layers.set(layer.digest, layer.size);
    if (layers.size === 0) return undefined;
    let doneBytes = 0;
    for (const [digest, size] of layers) doneBytes += active.get(digest)?.offset ?? (stored.has(digest) ? size : 0);
    return { doneBytes, totalBytes: [...layers.values()].reduce((a, b) => a + b, 0) };
  }

  /** What came since then and names other descriptions: the indexes among it are of images that were asked for since. */
  async indexesSince(epochSeconds: number): Promise<unknown[]> {
    const recent = (await this.#list()).filter(({ createdAt, labels }) => (createdAt?.seconds ?? 0) >= epochSeconds && Object.keys(labels).some((name) => /\.content\.m\./.test(name)));
    return Promise.all(recent.map(({ digest }) => this.json(digest)));
  }

  async json<T>(digest: string): Promise<T> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const { data } of this.#stream('Read', { digest }) as AsyncIterable<{ data: Buffer }>) {
      bytes += data.length;
      if (bytes > maxDescriptionBytes) throw new Error(`${digest} is no image description: it is too long`);
      chunks.push(data);
    }
    return JSON.parse(Buffer.concat(chunks).toString()) as T;
  }

  /** All that is stored. `uncompressed`: the digest of what a packed layer holds, where that is known. */
  async contents(): Promise<{ readonly digest: string; readonly uncompressed: string | undefined }[]> {
    return (await this.#list()).map(({ digest, labels }) => ({ digest, uncompressed: labels[uncompressed] }));
  }

  async *read(digest: string): AsyncGenerator<Uint8Array, void, undefined> {
    const stream = this.#stream('Read', { digest }, readMs);
    // Whoever stops halfway is told of nothing any more.
    stream.on('error', () => undefined);
    try {
      for await (const { data } of stream as AsyncIterable<{ data: Buffer }>) yield data;
    } finally {
      stream.cancel();
    }
  }

  close(): void {
    this.#client.close();
  }

  async #list(): Promise<Info[]> {
    const all: Info[] = [];
    for await (const { info } of this.#stream('List', { filters: [] }) as AsyncIterable<{ info: Info[] }>) all.push(...info);
    return all;
  }

  #statuses(): Promise<{ statuses: Status[] }> {
    return this.#unary(this.#content, 'ListStatuses', {});
  }

  #unary<T>(from: Service, name: string, request: object): Promise<T> {
    const { path, requestSerialize, responseDeserialize } = method(from, name);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, this.#metadata, { deadline: Date.now() + quickMs }, (error, answer) => {
        if (error) reject(error);
        else resolve(answer as T);
      });
    });
  }

  #stream(name: string, request: object, timeoutMs = quickMs): ClientReadableStream<unknown> {
    const { path, requestSerialize, responseDeserialize } = method(this.#content, name);
    return this.#client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, this.#metadata, { deadline: Date.now() + timeoutMs });
  }
}

function service(file: string, name: string): Service {
  return loadContract(new URL(file, import.meta.url)).services.get(name) ?? {};
}

function method(from: Service, name: string): MethodDefinition<object, object> {
  const found = from[name];
  if (!found) throw new Error(`the contract lacks ${name}`);
  return found;
}
