import { Readable } from 'node:stream';
import type { LayerName } from '#common/archive-parts.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import { nothingForThisHost, saysNothingMatches, wrongArchitecture } from '../image-architecture.ts';
import { canonicalReference, parseReference } from '../image-reference.ts';
import type { HeldLayer, ImageUser, ListedImage, PulledImage, PullOptions, PullProgress, RegistryAuth } from '../types.ts';
import { imageUserOf } from '../image-user.ts';
import type { DockerEngine } from './engine.ts';
import { unreachable } from './errors.ts';
import { jsonLines } from './json-lines.ts';
import type { InspectedImage, Progress } from './messages.ts';

/** Until Docker says the first word of its answer. */
const pullMs = 30 * 60_000;
const removeMs = 120_000;

/** Docker's images, by the names that pods use. */
export class DockerImages {
  readonly #engine: DockerEngine;
  /** What a container's status says of its image, by image id. */
  readonly #refs = new Map<string, string>();

  constructor(engine: DockerEngine) {
    this.#engine = engine;
  }

  async list(signal: AbortSignal): Promise<ListedImage[]> {
    const listed = await this.#engine.call<{ Id: string; RepoTags: string[] | null; RepoDigests: string[] | null; Size: number }[]>('GET', '/images/json', {}, signal);
    // What has no name is called <none>.
    return listed.map(({ Id, RepoTags, RepoDigests, Size }) => ({ id: Id, names: [...RepoDigests ?? [], ...RepoTags ?? []].filter((name) => !name.startsWith('<none>')).map(canonicalReference), sizeBytes: Size }));
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

  async pull(image: string, { auth, progress }: PullOptions, signal: AbortSignal): Promise<PulledImage> {
    const { registry, repository, tag } = parseReference(image);
    const headers = auth && { 'x-registry-auth': authHeader(registry, auth) };
    try {
      const answer = await this.#engine.open('POST', '/images/create', { query: { fromImage: `${registry}/${repository}`, tag }, timeoutMs: pullMs, ...(headers && { headers }) }, signal);
      await this.#follow(answer, signal, progress);
    } catch (error) {
      throw isStatus(error) && saysNothingMatches.test(error.message) ? nothingForThisHost(image, await this.#offered(image, headers, signal), error) : error;
    }
    return this.#checked(image, signal);
  }

  /** Resolves with the names that the archive gave its images. */
  async load(archive: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<string[]> {
    const answer = await this.#engine.open('POST', '/images/load', { query: { quiet: true }, tar: Readable.from(archive, { objectMode: false }), timeoutMs: pullMs }, signal);
    const said = await this.#follow(answer, signal);
    const names = said.flatMap((text) => /Loaded image(?: ID)?: (\S+)/.exec(text)?.[1] ?? []);
    for (const name of names) await this.#checked(name, signal);
    return names;
  }

  /** Docker takes an archive without a layer where it has that one upon the same ones; it has no other way to tell of layers. */
  async held(images: readonly (readonly LayerName[])[], signal: AbortSignal): Promise<ReadonlyMap<string, HeldLayer>> {
    const listed = await this.#engine.call<{ Id: string }[]>('GET', '/images/json', {}, signal);
    const stacks = new Set<string>();
    for (const { Id } of listed) for (const stack of stacksOf((await this.#inspect(Id, signal))?.RootFS?.Layers ?? [])) stacks.add(stack);
    const has = images.flatMap((layers) => {
      const own = stacksOf(layers.map(({ diffId }) => diffId));
      return layers.map(({ digest }, i) => ({ digest, isHeld: stacks.has(own[i] ?? '') }));
    });
    const wanted = new Set(has.filter(({ isHeld }) => !isHeld).map(({ digest }) => digest));
    return new Map(has.filter(({ digest }) => !wanted.has(digest)).map(({ digest }) => [digest, 'in place']));
  }

  async *save(image: string, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    yield* this.#unbroken(await this.#engine.open('GET', `/images/${pathOf(image)}/get`, { timeoutMs: pullMs }, signal), signal);
  }

  /** Name by name, never by force: what somebody's container is made from stays. */
  async remove({ id, names }: Pick<ListedImage, 'id' | 'names'>, signal: AbortSignal): Promise<void> {
    for (const name of names.length > 0 ? names.toSorted((a, b) => Number(a.includes('@')) - Number(b.includes('@'))) : [id]) {
      try {
        await this.#engine.call('DELETE', `/images/${pathOf(name)}`, { timeoutMs: removeMs }, signal);
      } catch (error) {
        if (!isStatus(error, 'NotFound')) throw error;
      }
    }
  }

  async inUse(signal: AbortSignal): Promise<ReadonlySet<string>> {
    const containers = await this.#engine.call<{ ImageID: string }[]>('GET', '/containers/json', { query: { all: true } }, signal);
    return new Set(containers.map(({ ImageID }) => ImageID));
  }

  /** Docker takes an image of another architecture, with a warning that nobody sees. */
  async #checked(image: string, signal: AbortSignal): Promise<PulledImage> {
    const found = await this.#inspect(image, signal);
    if (!found) throw new StatusError('NotFound', `Docker pulled ${image}, but has no image of that name`);
    const wrong = wrongArchitecture(image, found.Architecture === '' ? [] : [found.Architecture]);
    if (wrong) {
      await this.remove({ id: found.Id, names: [image] }, signal);
      throw wrong;
    }
    return { id: found.Id, sizeBytes: found.Size };
  }

  /** What a registry has of an image that it has nothing of for this host. */
  async #offered(image: string, headers: Readonly<Record<string, string>> | undefined, signal: AbortSignal): Promise<string[]> {
    try {
      const { Platforms } = await this.#engine.call<{ Platforms: { architecture?: string; os?: string }[] | null }>('GET', `/distribution/${pathOf(image)}/json`, { timeoutMs: removeMs, ...(headers && { headers }) }, signal);
      return (Platforms ?? []).flatMap(({ architecture, os }) => (os === 'linux' && architecture !== undefined ? [architecture] : []));
    } catch {
      return [];
    }
  }

  /** Reads what Docker says until it is done; rejects with what it says went wrong. */
  async #follow(answer: AsyncIterable<Buffer>, signal: AbortSignal, progress?: (progress: PullProgress) => void): Promise<string[]> {
    const said: string[] = [];
    const layers = new Map<string, { doneBytes: number; totalBytes: number }>();
    for await (const { id, status, stream, progressDetail, error, errorDetail } of jsonLines<Progress>(this.#unbroken(answer, signal))) {
      const problem = errorDetail?.message ?? error;
      if (problem !== undefined) throw new StatusError(/not found|manifest unknown/.test(problem) ? 'NotFound' : 'InternalError', problem);
      if (stream !== undefined && said.length < 1000) said.push(stream);
      const known = id === undefined ? undefined : layers.get(id);
      if (id !== undefined && status === 'Downloading' && progressDetail?.total !== undefined && progressDetail.total > 0) layers.set(id, { doneBytes: progressDetail.current ?? 0, totalBytes: progressDetail.total });
      else if (known && status === 'Download complete') known.doneBytes = known.totalBytes;
      else continue;
      progress?.(sum(layers.values()));
    }
    return said;
  }

  /** What breaks off is said in our words. */
  async *#unbroken(answer: AsyncIterable<Buffer>, signal: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
    try {
      yield* answer;
    } catch (error) {
      signal.throwIfAborted();
      throw unreachable(this.#engine.endpoint, 'about images', error);
    }
    signal.throwIfAborted();
  }

  async #inspect(image: string, signal: AbortSignal): Promise<InspectedImage | undefined> {
    try {
      return await this.#engine.call<InspectedImage>('GET', `/images/${pathOf(image)}/json`, {}, signal);
    } catch (error) {
      if (error instanceof StatusError && error.code === 'NotFound') return undefined;
      throw error;
    }
  }
}

/** Each layer with those below it. */
function stacksOf(diffIds: readonly string[]): string[] {
  return diffIds.map((_, i) => diffIds.slice(0, i + 1).join(' '));
}

function pathOf(image: string): string {
  return image.split('/').map(encodeURIComponent).join('/');
}

function authHeader(registry: string, { username, password, identityToken }: RegistryAuth): string {
  const serveraddress = registry === 'docker.io' ? 'https://index.docker.io/v1/' : registry;
  return Buffer.from(JSON.stringify({ username, password, serveraddress, ...(identityToken !== undefined && { identitytoken: identityToken }) })).toString('base64url');
}

function sum(layers: Iterable<PullProgress>): PullProgress {
  let [doneBytes, totalBytes] = [0, 0];
  for (const layer of layers) {
    doneBytes += layer.doneBytes;
    totalBytes += layer.totalBytes;
  }
  return { doneBytes, totalBytes };
}
