import { messageOf, StatusError, toStatus } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import { commandChannels, type Channels } from '#common/streams/channels.ts';
import { exitStatus } from '#common/streams/exit-status.ts';
import { channelPair } from '#common/streams/pair.ts';
import { channelsOf } from '#common/streams/relay.ts';
import { unpacked } from '#common/unpacked.ts';
import { canonicalReference } from '#agent/runtimes/image-reference.ts';
import type { RuntimeDriver } from '#agent/runtimes/types.ts';
import type { ImageRequest } from '#agent/session/types.ts';
import type { ImageCollector, KnownImage } from './collector.ts';
import type { ServePushDeps } from './push/serve-push.ts';
import type { ImageRecords } from './records.ts';

export interface ServeImagesDeps {
  readonly driver: Pick<RuntimeDriver, 'importImage' | 'exportImage' | 'imageId' | 'heldLayers'>;
  readonly collector: Pick<ImageCollector, 'list' | 'prune'>;
  readonly records: ImageRecords;
  /** What a push brings blob by blob. */
  readonly push: () => Promise<Pick<ServePushDeps, 'blobs' | 'identity'>>;
  readonly log: Log;
  /** Called when images have been loaded. */
  readonly arrived: () => void;
}

/**
 * Answers like a command with its streams: an archive comes in by standard input and goes out by standard output, and
 * other answers are one JSON document there; the status channel says how it ended.
 */
export function serveImages(deps: ServeImagesDeps, request: ImageRequest, signal: AbortSignal): Channels {
  const [near, far] = channelPair(channelsOf(request));
  void answer(deps, request, far, signal);
  return near;
}

async function answer(deps: ServeImagesDeps, request: ImageRequest, far: Channels, signal: AbortSignal): Promise<void> {
  const { stdout, status } = commandChannels;
  const gone = new AbortController();
  void far.closed.then(() => { gone.abort(new StatusError('ServiceUnavailable', 'whoever asked has gone')); });
  let verdict: object;
  try {
    await perform(deps, request, far, AbortSignal.any([signal, gone.signal]));
    verdict = exitStatus(0);
  } catch (error) {
    const { code, message } = toStatus(error);
    deps.log.info({ verb: request.verb, err: messageOf(error) }, 'a request about images failed');
    verdict = { metadata: {}, status: 'Failure', reason: code, message };
  }
  try {
    await far.channel(stdout).end();
    await far.channel(status).write(Buffer.from(JSON.stringify(verdict)));
    await far.channel(status).end();
  } catch {
    // Nobody listens any more.
  }
}

async function perform(deps: ServeImagesDeps, request: ImageRequest, far: Channels, signal: AbortSignal): Promise<void> {
  const { driver, collector } = deps;
  const { stdin, stdout } = commandChannels;
  const say = (value: unknown): Promise<void> => far.channel(stdout).write(Buffer.from(JSON.stringify(value)));
  switch (request.verb) {
    case 'list': return say((await collector.list(signal)).map(shown));
    case 'prune': return say((await collector.prune({ dryRun: request.dryRun, loaded: request.loaded }, signal)).map(shown));
    case 'load': return say(await load(deps, unpacked(far.channel(stdin)), signal));
    case 'push': {
      const { servePush } = await import('./push/serve-push.ts');
      return servePush({ ...await deps.push(), driver, log: deps.log, load: (archive, stop) => load(deps, archive, stop) }, far.channel(stdin), (line) => far.channel(stdout).write(Buffer.from(`${JSON.stringify(line)}\n`)), signal);
    }
    case 'save': {
      if (await driver.imageId(request.image, signal) === undefined) throw new StatusError('NotFound', `this node has no image ${request.image}`);
      for await (const chunk of driver.exportImage(request.image, signal)) await far.channel(stdout).write(chunk);
    }
  }
}

async function load({ driver, records, log, arrived }: ServeImagesDeps, archive: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<readonly string[]> {
  const names = await driver.importImage(archive, signal);
  if (names.length === 0) throw new StatusError('Invalid', 'the archive has no image with a name; save it by its name, e.g. docker save app:1');
  await records.noteLoaded(names.map(canonicalReference));
  log.info({ names }, 'loaded images');
  arrived();
  return names;
}

function shown({ id, names, sizeBytes, keptFor, isLoaded }: KnownImage): object {
  return { id, names, sizeBytes, isLoaded, ...(keptFor !== undefined && { keptFor }) };
}
