import { isRecord } from '#api/meta/json.ts';
import type { LayerName } from '#common/archive-parts.ts';
import type { Clock } from '#common/clock.ts';
import { isStatus, messageOf, StatusError } from '#common/errors.ts';
import { execOk } from '#common/exec.ts';
import type { Log } from '#common/log.ts';
import { importArchive, receiveArchive } from '../containerd/archives.ts';
import { architecturesOf, madeFor, nothingForThisHost, saysNothingMatches, wrongArchitecture } from '../image-architecture.ts';
import { canonicalReference, parseReference } from '../image-reference.ts';
import type { HeldLayer, ImageUser, ListedImage, PulledImage, PullOptions, PullProgress, RegistryAuth } from '../types.ts';
import type { CriConnection } from './connection.ts';
import type { SnapshotViews } from '../containerd/snapshot-views.ts';
import type { ContainerdStore } from '../containerd/store.ts';
import type { CriCalls } from './messages.ts';

const quickMs = 10_000;
/** containerd answers when all of it is off the disk, which may be a memory card. */
const removeMs = 120_000;
/** Whoever waits for a pull sees whether it gets on; this is for one that nobody watches. */
const pullMs = 24 * 3_600_000;
const progressMs = 2000;
/** containerd's namespace of what belongs to CRI. */
const namespace = 'k8s.io';
/** What came must not fill it for a day. */
const diskIsFull = /no space left|disk quota/i;

export interface CriImagesDeps { readonly connection: CriConnection; readonly clock: Clock; readonly log: Log }

/** Images of a CRI runtime. Archives, progress and the platforms of an index are containerd's own matter; another runtime has none of these. */
export class CriImages {
  readonly #deps: CriImagesDeps;
  readonly #snapshotter: string | undefined;
  readonly #dataDir: string | undefined;
  #content: ContainerdStore | undefined;

  /** `snapshotter` and `dataDir`: of a containerd that is our own. */
  constructor(deps: CriImagesDeps, snapshotter: string | undefined, dataDir?: string) {
    this.#deps = deps;
    this.#snapshotter = snapshotter;
    this.#dataDir = dataDir;
  }

  async list(signal: AbortSignal): Promise<readonly ListedImage[]> {
    const { images } = await this.#deps.connection.call('ListImages', {}, quickMs, signal);
    return images.map(({ id, repoTags, repoDigests, size, pinned }) => ({ id, names: [...repoDigests, ...repoTags], sizeBytes: Number(size), ...(pinned && { pinned }) }));
  }

  async id(image: string, signal: AbortSignal): Promise<string | undefined> {
    return (await this.#status(image, signal)).image?.id;
  }

  async user(image: string, signal: AbortSignal): Promise<ImageUser> {
    const answer = await this.#status(image, signal);
    if (!answer.image) throw new StatusError('NotFound', `image ${image} not found`);
    const { uid, username } = answer.image;
    return { name: username, ...(username === '' && { uid: Number(uid?.value ?? 0) }) };
  }

  async pull(image: string, { auth, progress }: PullOptions, signal: AbortSignal): Promise<PulledImage> {
    const startedSeconds = Math.floor(this.#deps.clock.now() / 1000);
    const over = new AbortController();
    const lease = await this.#hold(image);
    let isOver = true;
    try {
      if (progress) void this.#watch(image, progress, AbortSignal.any([signal, over.signal]));
      const headers = lease === undefined ? {} : { 'containerd-lease': lease };
      await this.#deps.connection.call('PullImage', { image: { image }, ...(auth && { auth: authMessage(image, auth) }) }, pullMs, signal, headers);
      await this.#settle(signal);
      return await this.#checked(image, signal);
    } catch (error) {
      if (isStatus(error) && saysNothingMatches.test(error.message)) throw nothingForThisHost(image, await this.#offered(image, startedSeconds), error);
      isOver = isStatus(error, 'NotFound', 'Invalid') || diskIsFull.test(messageOf(error));
      throw error;
    } finally {
      over.abort();
      if (lease !== undefined && isOver) await this.#releaseLease(lease);
    }
  }

  /** So that what comes of a pull that breaks off is there for the next one. Undefined where the runtime is not containerd. */
  async #hold(image: string): Promise<string | undefined> {
    try {
      return await (await this.#store()).hold(image, this.#deps.clock.now());
    } catch (error) {
      this.#deps.log.debug({ image, err: messageOf(error) }, 'a pull that breaks off will begin anew');
      return undefined;
    }
  }

  async #releaseLease(lease: string): Promise<void> {
    await (await this.#store()).release(lease).catch((error: unknown) => { this.#deps.log.debug({ lease, err: messageOf(error) }, 'a lease stays until it expires'); });
  }

  async import(archive: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<readonly string[]> {
    const snapshotter = this.#snapshotter === undefined ? [] : ['--snapshotter', this.#snapshotter];
    const names = await importArchive(this.#ctr(), snapshotter, archive, signal);
    for (const name of names) {
      await this.#untilKnown(name, signal);
      await this.#checked(name, signal);
    }
    await this.#settle(signal);
    return names;
  }

  /** containerd syncs what it knows of an image, and not the image: a power cut would leave empty files that it takes for whole ever after. */
  async #settle(signal: AbortSignal): Promise<void> {
    if (this.#dataDir === undefined) return;
    try {
      await execOk('sync', ['-f', this.#dataDir], { signal, timeoutMs: removeMs });
    } catch (error) {
      signal.throwIfAborted();
      this.#deps.log.warn({ err: messageOf(error) }, 'an image may not survive a power cut within the next half minute');
    }
  }

  async held(images: readonly (readonly LayerName[])[]): Promise<ReadonlyMap<string, HeldLayer>> {
    const { heldLayers } = await import('../containerd/held-layers.ts');
    return heldLayers(await this.#store(), images);
  }

  export(image: string, signal: AbortSignal): AsyncIterable<Uint8Array> {
    return receiveArchive([...this.#ctr(), 'images', 'export', '-', canonicalReference(image)], signal);
  }

  async remove(image: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#deps.connection.call('RemoveImage', { image: { image } }, removeMs, signal);
    } catch (error) {
      if (!isStatus(error, 'NotFound')) throw error;
    }
  }

  async mount(image: string, key: string, dir: string, signal: AbortSignal): Promise<void> {
    const { image: found, info } = await this.#status(image, signal, true);
    if (!found) throw new StatusError('NotFound', `image ${image} not found`);
    const chainId = verboseInfo(info['info'])['chainID'];
    if (typeof chainId !== 'string') throw new StatusError('Invalid', 'this container runtime does not tell what an image unpacks to, as containerd does, so volumes of images are not possible on this node; have an init container of that image copy its files into an emptyDir');
    await (await this.#views()).mount(chainId, key, dir, signal);
  }

  async release(key: string, signal: AbortSignal): Promise<void> {
    await (await this.#views()).release(key, signal);
  }

  async inUse(signal: AbortSignal): Promise<ReadonlySet<string>> {
    const { containers } = await this.#deps.connection.call('ListContainers', { filter: { labelSelector: {} } }, quickMs, signal);
    return new Set(containers.flatMap(({ image, imageRef }) => [image?.image ?? '', imageRef]));
  }

  async folder(signal: AbortSignal): Promise<string> {
    const { imageFilesystems } = await this.#deps.connection.call('ImageFsInfo', {}, quickMs, signal);
    return imageFilesystems[0]?.fsId?.mountpoint ?? '/';
  }

  close(): void {
    this.#content?.close();
  }

  #ctr(): string[] {
    return ['-a', this.#deps.connection.endpoint, '-n', namespace];
  }

  #status(image: string, signal: AbortSignal, verbose = false): Promise<CriCalls['ImageStatus'][1]> {
    return this.#deps.connection.call('ImageStatus', { image: { image }, verbose }, quickMs, signal);
  }

  /** containerd takes an image for another kind of host without a word where it has no index. */
  async #checked(image: string, signal: AbortSignal): Promise<PulledImage> {
    const { image: found, info } = await this.#status(image, signal, true);
    if (!found) throw new StatusError('NotFound', `the runtime pulled ${image}, but has no image of that name`);
    const own = architectureIn(info['info']);
    const wrong = wrongArchitecture(image, own);
    if (wrong) {
      await this.remove(image, signal);
      throw wrong;
    }
    return { id: found.id, sizeBytes: Number(found.size), ...await this.#madeFor(image, found.repoDigests, own) };
  }

  /** By the description that the name stands for, which containerd keeps; nothing where the runtime is another one. */
  async #madeFor(image: string, repoDigests: readonly string[], own: readonly string[]): Promise<Pick<PulledImage, 'architectures'>> {
    const { registry, repository } = parseReference(image);
    const digest = repoDigests.find((name) => name.startsWith(`${registry}/${repository}@`))?.split('@')[1];
    try {
      return digest === undefined ? {} : madeFor(await (await this.#store()).json(digest), own);
    } catch (error) {
      this.#deps.log.debug({ image, err: messageOf(error) }, 'for what else an image is made cannot be told');
      return {};
    }
  }

  /** Tells how far a pull is until the signal aborts. */
  async #watch(image: string, progress: NonNullable<PullOptions['progress']>, signal: AbortSignal): Promise<void> {
    const { registry, repository } = parseReference(image);
    let last: PullProgress | undefined;
    try {
      for (;;) {
        await this.#deps.clock.sleep(progressMs, signal);
        const known = await (await this.#store()).progress(registry, repository);
        // When nothing comes any more, all has come: what follows is unpacking.
        last = known ?? (last && { ...last, doneBytes: last.totalBytes });
        if (last && !signal.aborted) progress(last);
      }
    } catch (error) {
      if (!signal.aborted) this.#deps.log.debug({ image, err: messageOf(error) }, 'how far a pull is cannot be told');
    }
  }

  /** What an index has that offered nothing for this host: the runtime does not say, but what it read is there for a moment. */
  async #offered(image: string, sinceSeconds: number): Promise<string[]> {
    const { tag } = parseReference(image);
    try {
      const store = await this.#store();
      const indexes = tag.includes(':') ? [await store.json(tag)] : await store.indexesSince(sinceSeconds);
      // Of several that came at the same time nobody knows which it was.
      return indexes.length === 1 ? architecturesOf(indexes[0]) : [];
    } catch (error) {
      this.#deps.log.debug({ image, err: messageOf(error) }, 'what an image is for cannot be told');
      return [];
    }
  }

  /** Loaded when first used: few pods have volumes of images. */
  async #views(): Promise<SnapshotViews> {
    const [{ SnapshotViews: Loaded }, { Ctr }] = await Promise.all([import('../containerd/snapshot-views.ts'), import('../containerd/ctr.ts')]);
    return new Loaded(new Ctr(this.#deps, this.#deps.connection.endpoint, namespace), (signal) => this.#snapshotterName(signal));
  }

  /** Of a containerd that is not our own: as its configuration says. */
  async #snapshotterName(signal: AbortSignal): Promise<string> {
    if (this.#snapshotter !== undefined) return this.#snapshotter;
    const { info } = await this.#deps.connection.call('Status', { verbose: true }, quickMs, signal);
    const containerd = verboseInfo(info['config'])['containerd'];
    return isRecord(containerd) && typeof containerd['snapshotter'] === 'string' && containerd['snapshotter'] !== '' ? containerd['snapshotter'] : 'overlayfs';
  }

  async #store(): Promise<ContainerdStore> {
    const { ContainerdStore: Loaded } = await import('../containerd/store.ts');
    return this.#content ??= new Loaded(this.#deps.connection.endpoint, namespace);
  }

  /** containerd's CRI learns of imported images by an event of its own. */
  async #untilKnown(image: string, signal: AbortSignal): Promise<void> {
    for (let waitMs = 5; waitMs <= 5120; waitMs *= 2) {
      if (await this.id(image, signal) !== undefined) return;
      await this.#deps.clock.sleep(waitMs, signal);
    }
    throw new StatusError('InternalError', `image ${image} was imported but the runtime does not list it`);
  }
}

/** Said with the registry that it is for, so that it goes to no mirror. */
function authMessage(image: string, { username, password, identityToken = '' }: RegistryAuth): object {
  const { registry } = parseReference(image);
  return { username, password, identityToken, serverAddress: `https://${registry === 'docker.io' ? 'registry-1.docker.io' : registry}` };
}

/** From what containerd adds to a verbose status of an image; empty where it tells nothing. */
function architectureIn(info: string | undefined): string[] {
  const spec = verboseInfo(info)['imageSpec'];
  return isRecord(spec) && typeof spec['architecture'] === 'string' && spec['architecture'] !== '' ? [spec['architecture']] : [];
}

/** What a runtime adds to a verbose status. */
function verboseInfo(info: string | undefined): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(info ?? '{}');
    return isRecord(value) ? value : {};
  } catch {
    return {};
  }
}
