import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pulledPlatformsAnnotation } from '#api/images/platforms.ts';
import { messageOf } from '#common/errors.ts';
import type { Runnable } from '#common/lifecycle.ts';
import type { Channels } from '#common/streams/channels.ts';
import { IdentityFiles } from '#agent/session/identity.ts';
import { nodeEvent } from '#agent/session/node-event.ts';
import type { ImageRequest } from '#agent/session/types.ts';
import { ImageCollector, type ImageCollectorConfig, type ImageCollectorDeps } from './collector.ts';
import { writeHostsFiles } from './hosts-files.ts';
import { imagePullerDefaults, ImagePuller, type ImagePullerDeps } from './puller.ts';
import type { ReceivedBlobs } from './push/blobs.ts';
import type { ServePushDeps } from './push/serve-push.ts';
import { ImageRecords } from './records.ts';
import { loadRegistries, noRegistries, type Registries } from './registries.ts';

export type NodeImagesDeps = Omit<ImageCollectorDeps & ImagePullerDeps, 'records'>;

export interface NodeImagesConfig extends ImageCollectorConfig {
  readonly stateDir: string;
  /** What is said of registries; nothing where there is no such file. */
  readonly registriesPath: string;
  /** Where the runtime reads how registries are reached; undefined where that is not ours to say. */
  readonly registryHostsDir: string | undefined;
  readonly maxParallelPulls: number;
}

/** The images of this node: how they come, stay and go. */
export class NodeImages implements Runnable {
  readonly puller: ImagePuller;
  readonly collector: ImageCollector;
  readonly #deps: NodeImagesDeps;
  readonly #records: ImageRecords;
  readonly #stateDir: string;
  #blobs: Promise<ReceivedBlobs> | undefined;
  /** What was said once is taken back in words. */
  #told = false;

  private constructor(deps: NodeImagesDeps, records: ImageRecords, puller: ImagePuller, config: NodeImagesConfig) {
    this.#deps = deps;
    this.#records = records;
    this.#stateDir = config.stateDir;
    this.puller = puller;
    this.collector = new ImageCollector({ ...deps, records }, config);
  }

  static async open(deps: NodeImagesDeps, config: NodeImagesConfig): Promise<NodeImages> {
    const records = await ImageRecords.open(join(config.stateDir, 'agent/images.json'), deps.log);
    const registries = await useRegistries(deps, config);
    return new NodeImages(deps, records, new ImagePuller({ ...deps, records }, { ...imagePullerDefaults, maxParallel: config.maxParallelPulls, registries }), config);
  }

  async start(signal: AbortSignal): Promise<void> {
    // What a push left that this process knows nothing of; on nearly all hosts there is no such folder.
    if (existsSync(this.#blobsFolder)) await (await this.#received()).sweep();
    await this.collector.start(signal);
  }

  /** What others should know of this node's images: those that are not made for every host. */
  get annotations(): Readonly<Record<string, string>> {
    const made = this.#records.madeFor;
    this.#told ||= made.length > 0;
    return this.#told ? { [pulledPlatformsAnnotation]: JSON.stringify(Object.fromEntries(made.map(({ image, architectures }) => [image, architectures.map((one) => `linux/${one}`)]))) } : {};
  }

  reclaim(signal: AbortSignal): Promise<boolean> { return this.collector.reclaim(signal); }

  /** Answers what the command line asks of this node's images. Loaded then: most hosts are never asked. */
  async serve(request: ImageRequest, signal: AbortSignal): Promise<Channels> {
    const { serveImages } = await import('./serve.ts');
    const push = async (): Promise<Pick<ServePushDeps, 'blobs' | 'identity'>> => ({ blobs: await this.#received(), identity: () => new IdentityFiles(this.#stateDir).load() });
    return serveImages({ driver: this.#deps.driver, log: this.#deps.log, collector: this.collector, records: this.#records, push, arrived: () => { this.puller.noteArrival(); } }, request, signal);
  }

  get #blobsFolder(): string { return join(this.#stateDir, 'agent/blobs'); }

  /** Of one folder there is one. */
  #received(): Promise<ReceivedBlobs> {
    return this.#blobs ??= (async () => {
      const { ReceivedBlobs: Loaded } = await import('./push/blobs.ts');
      return new Loaded(this.#deps.clock, this.#blobsFolder, (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim());
    })();
  }
}

/** Tells the runtime, too, where that is ours to do. A file that makes no sense keeps no pod whose image is here from starting. */
async function useRegistries({ log, events, clock, driver }: NodeImagesDeps, { registriesPath: path, registryHostsDir, nodeName }: NodeImagesConfig): Promise<Registries> {
  let registries: Registries;
  try {
    registries = await loadRegistries(path);
    if (registryHostsDir !== undefined) await writeHostsFiles(registryHostsDir, registries);
  } catch (error) {
    log.error({ err: messageOf(error) }, 'the file of registries is not used; mend it and start the agent again');
    events.emit(nodeEvent(nodeName, clock, 'Warning', 'InvalidRegistries', messageOf(error)));
    return noRegistries;
  }
  const says = registries.mirrors.size > 0 || [...registries.access.values()].some(({ caFile, certFile, insecure }) => caFile !== undefined || certFile !== undefined || insecure);
  if (registryHostsDir === undefined && says) log.warn({ path, runtime: driver.name }, 'mirrors and certificates of registries are this runtime\'s own matter; set them in its configuration. Credentials are used');
  return registries;
}
