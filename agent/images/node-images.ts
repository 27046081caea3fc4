import { join } from 'node:path';
import { pulledPlatformsAnnotation } from '#api/images/platforms.ts';
import type { Runnable } from '#common/lifecycle.ts';
import type { Channels } from '#common/streams/channels.ts';
import type { ImageRequest } from '#agent/session/types.ts';
import { ImageCollector, type ImageCollectorConfig, type ImageCollectorDeps } from './collector.ts';
import { writeHostsFiles } from './hosts-files.ts';
import { imagePullerDefaults, ImagePuller, type ImagePullerDeps } from './puller.ts';
import { ImageRecords } from './records.ts';
import { loadRegistries } from './registries.ts';

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
  /** What was said once is taken back in words. */
  #told = false;

  private constructor(deps: NodeImagesDeps, records: ImageRecords, puller: ImagePuller, config: NodeImagesConfig) {
    this.#deps = deps;
    this.#records = records;
    this.puller = puller;
    this.collector = new ImageCollector({ ...deps, records }, config);
  }

  /** Rejects with a sentence when the file of registries makes no sense. */
  static async open(deps: NodeImagesDeps, config: NodeImagesConfig): Promise<NodeImages> {
    const [registries, records] = await Promise.all([loadRegistries(config.registriesPath), ImageRecords.open(join(config.stateDir, 'agent/images.json'), deps.log)]);
    const says = registries.mirrors.size > 0 || [...registries.access.values()].some(({ caFile, certFile, insecure }) => caFile !== undefined || certFile !== undefined || insecure);
    if (config.registryHostsDir !== undefined) await writeHostsFiles(config.registryHostsDir, registries);
    else if (says) deps.log.warn({ path: config.registriesPath, runtime: deps.driver.name }, 'mirrors and certificates of registries are this runtime\'s own matter; set them in its configuration. Credentials are used');
    return new NodeImages(deps, records, new ImagePuller({ ...deps, records }, { ...imagePullerDefaults, maxParallel: config.maxParallelPulls, registries }), config);
  }

  start(signal: AbortSignal): Promise<void> { return this.collector.start(signal); }

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
    return serveImages({ driver: this.#deps.driver, log: this.#deps.log, collector: this.collector, records: this.#records }, request, signal);
  }
}
