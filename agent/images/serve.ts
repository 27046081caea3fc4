import { messageOf, StatusError, toStatus } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import { commandChannels, type Channels } from '#common/streams/channels.ts';
import { exitStatus } from '#common/streams/exit-status.ts';
import { channelPair } from '#common/streams/pair.ts';
import { channelsOf } from '#common/streams/relay.ts';
import { canonicalReference } from '#agent/runtimes/image-reference.ts';
import type { RuntimeDriver } from '#agent/runtimes/types.ts';
import type { ImageRequest } from '#agent/session/types.ts';
import type { ImageCollector, KnownImage } from './collector.ts';
import type { ImageRecords } from './records.ts';
import { unpacked } from './unpacked.ts';

export interface ServeImagesDeps {
  readonly driver: Pick<RuntimeDriver, 'importImage' | 'exportImage' | 'imageId'>;
  readonly collector: Pick<ImageCollector, 'list' | 'prune'>;
  readonly records: ImageRecords;
  readonly log: Log;
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

async function perform({ driver, collector, records, log }: ServeImagesDeps, request: ImageRequest, far: Channels, signal: AbortSignal): Promise<void> {
  const { stdin, stdout } = commandChannels;
  const say = (value: unknown): Promise<void> => far.channel(stdout).write(Buffer.from(JSON.stringify(value)));
  switch (request.verb) {
    case 'list': return say((await collector.list(signal)).map(shown));
    case 'prune': return say((await collector.prune({ dryRun: request.dryRun, loaded: request.loaded }, signal)).map(shown));
    case 'load': {
      const names = await driver.importImage(unpacked(far.channel(stdin)), signal);
      if (names.length === 0) throw new StatusError('Invalid', 'the archive has no image with a name; save it by its name, e.g. docker save app:1');
      await records.noteLoaded(names.map(canonicalReference));
      log.info({ names }, 'loaded images');
      return say(names);
    }
    case 'save': {
      if (await driver.imageId(request.image, signal) === undefined) throw new StatusError('NotFound', `this node has no image ${request.image}`);
      for await (const chunk of driver.exportImage(request.image, signal)) await far.channel(stdout).write(chunk);
    }
  }
}

function shown({ id, names, sizeBytes, keptFor, isLoaded }: KnownImage): object {
  return { id, names, sizeBytes, isLoaded, ...(keptFor !== undefined && { keptFor }) };
}
