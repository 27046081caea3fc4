import { createReadStream } from 'node:fs';
import { StatusError } from '#common/errors.ts';
import type { ImageUser, ListedImage, RegistryAuth } from '../types.ts';
import { canonicalReference, parseReference, wrongArchitecture } from '../image-reference.ts';
import { imageUserOf } from '../image-user.ts';
import type { DockerEngine } from './engine.ts';
import { jsonLines } from './json-lines.ts';
import type { InspectedImage, Progress } from './messages.ts';

const pullMs = 30 * 60_000;

/** Docker's images, by the names that pods use. */
export class DockerImages {
  readonly #engine: DockerEngine;
  /** What a container's status says of its image, by image id. */
  readonly #refs = new Map<string, string>();

  constructor(engine: DockerEngine) {
    this.#engine = engine;
  }

  async list(signal: AbortSignal): Promise<ListedImage[]> {
    const listed = await this.#engine.call<{ RepoTags: string[] | null; RepoDigests: string[] | null; Size: number }[]>('GET', '/images/json', {}, signal);
    // What has no name is called <none>.
    return listed.map(({ RepoTags, RepoDigests, Size }) => ({ names: [...RepoDigests ?? [], ...RepoTags ?? []].filter((name) => !name.startsWith('<none>')).map(canonicalReference), sizeBytes: Size }));
  }

  async id(image: string, signal: AbortSignal): Promise<string | undefined> {
    return (await this.#inspect(image, signal))?.Id;
  }

  async user(image: string, signal: AbortSignal): Promise<ImageUser> {
    const found = await this.#inspect(image, signal);
    if (!found) throw new StatusError('NotFound', `image ${image} not found`);
    return imageUserOf(found.Config?.User ?? '');
  }

  /** By digest where a registry gave one, else the id. */
  async ref(id: string, signal: AbortSignal): Promise<string> {
    const known = this.#refs.get(id);
    if (known !== undefined) return known;
    const found = await this.#inspect(id, signal);
    const ref = found?.RepoDigests?.[0] ?? id;
    this.#refs.set(id, ref);
    return ref;
  }

  async pull(image: string, auth: RegistryAuth | undefined, signal: AbortSignal): Promise<string> {
    const { registry, repository, tag } = parseReference(image);
    const serveraddress = registry === 'docker.io' ? 'https://index.docker.io/v1/' : registry;
    const headers = auth && { 'x-registry-auth': Buffer.from(JSON.stringify({ ...auth, serveraddress })).toString('base64url') };
    const answer = await this.#engine.open('POST', '/images/create', { query: { fromImage: `${registry}/${repository}`, tag }, timeoutMs: pullMs, ...(headers && { headers }) }, signal);
    await this.#progress(answer, signal);
    const found = await this.#inspect(image, signal);
    if (!found) throw new StatusError('NotFound', `Docker pulled ${image}, but has no image of that name`);
    // Docker takes an image of another architecture, with a warning that nobody sees.
    const wrong = wrongArchitecture(image, found.Architecture === '' ? [] : [found.Architecture]);
    if (wrong !== undefined) throw new StatusError('Invalid', wrong);
    return found.Id;
  }

  /** Resolves with the names that the archive gave its images. */
  async load(archivePath: string, signal: AbortSignal): Promise<string[]> {
    const answer = await this.#engine.open('POST', '/images/load', { query: { quiet: true }, tar: createReadStream(archivePath), timeoutMs: pullMs }, signal);
    const said = await this.#progress(answer, signal);
    return said.flatMap((text) => /Loaded image(?: ID)?: (\S+)/.exec(text)?.[1] ?? []);
  }

  async #progress(answer: AsyncIterable<Buffer>, signal: AbortSignal): Promise<string[]> {
    const said: string[] = [];
    for await (const { stream, error, errorDetail } of jsonLines<Progress>(answer)) {
      const problem = errorDetail?.message ?? error;
      if (problem !== undefined) throw new StatusError(/not found|manifest unknown/.test(problem) ? 'NotFound' : 'InternalError', problem);
      if (stream !== undefined && said.length < 1000) said.push(stream);
    }
    signal.throwIfAborted();
    return said;
  }

  async #inspect(image: string, signal: AbortSignal): Promise<InspectedImage | undefined> {
    try {
      return await this.#engine.call<InspectedImage>('GET', `/images/${image.split('/').map(encodeURIComponent).join('/')}/json`, {}, signal);
    } catch (error) {
      if (error instanceof StatusError && error.code === 'NotFound') return undefined;
      throw error;
    }
  }
}
