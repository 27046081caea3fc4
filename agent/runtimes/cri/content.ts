import { Client, credentials, Metadata, type ClientReadableStream, type MethodDefinition } from '@grpc/grpc-js';
import { loadContract } from '#proto/load.ts';
import type { PullProgress } from '../types.ts';

interface Info { readonly digest: string; readonly size: number; readonly createdAt: { readonly seconds: number } | null; readonly labels: Readonly<Record<string, string>> }
interface Status { readonly ref: string; readonly offset: number; readonly total: number }
interface Manifest { readonly layers?: readonly { readonly digest: string; readonly size: number }[] }

const quickMs = 10_000;
const maxDescriptionBytes = 4 << 20;
/** containerd's, on what it has stored of an image: the things that this one names, and where it came from. */
const child = /^containerd\.io\/gc\.ref\.content/;
const source = 'containerd.io/distribution.source.';

/** containerd's content store, as far as pulls are concerned. Every method rejects where the runtime is another one. */
export class ContentStore {
  readonly #client: Client;
  readonly #service: Readonly<Record<string, MethodDefinition<object, object>>>;
  readonly #metadata = new Metadata();

  constructor(endpoint: string, namespace: string) {
    this.#client = new Client(`unix:${endpoint}`, credentials.createInsecure());
    this.#service = loadContract(new URL('../../../proto/third_party/containerd/content.proto', import.meta.url)).services.get('containerd.services.content.v1.Content') ?? {};
    this.#metadata.set('containerd-namespace', namespace);
  }

  /** How far the pull of an image from a repository is; undefined while nothing of it is known, and when all is there. */
  async progress(registry: string, repository: string): Promise<PullProgress | undefined> {
    const { statuses } = await this.#unary<{ statuses: Status[] }>('ListStatuses', {});
    const active = new Map(statuses.flatMap((status) => (status.ref.startsWith('layer-') ? [[status.ref.slice('layer-'.length), status] as const] : [])));
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

  close(): void {
    this.#client.close();
  }

  async #list(): Promise<Info[]> {
    const all: Info[] = [];
    for await (const { info } of this.#stream('List', { filters: [] }) as AsyncIterable<{ info: Info[] }>) all.push(...info);
    return all;
  }

  #unary<T>(name: string, request: object): Promise<T> {
    const { path, requestSerialize, responseDeserialize } = this.#method(name);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, this.#metadata, { deadline: Date.now() + quickMs }, (error, answer) => {
        if (error) reject(error);
        else resolve(answer as T);
      });
    });
  }

  #stream(name: string, request: object): ClientReadableStream<unknown> {
    const { path, requestSerialize, responseDeserialize } = this.#method(name);
    return this.#client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, this.#metadata, { deadline: Date.now() + quickMs });
  }

  #method(name: string): MethodDefinition<object, object> {
    const found = this.#service[name];
    if (!found) throw new Error(`the contract lacks ${name}`);
    return found;
  }
}
