import { StatusError } from '#common/errors.ts';
import { execOk, pipeCommand } from '#common/exec.ts';
import { ArchiveReader } from '#common/image-archive.ts';
import { wrongArchitecture } from '../image-architecture.ts';

/** `ctr images import`, by a `ctr` that is told by arguments which containerd, and where in it; resolves with the names of what came. */
export async function importArchive(ctr: readonly string[], options: readonly string[], archive: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<string[]> {
  const output = await sendArchive([...ctr, 'images', 'import', ...await itself('import', signal), ...options, '-'], archive, signal);
  return [...output.matchAll(/^unpacking (\S+)/gm)].map((match) => match[1] ?? '');
}

/**
 * What has `ctr images` do its work itself, and say what comes of it. From 2.0 on it leaves both to containerd unless it
 * is told otherwise, and draws for people: names without their dashes, sums without their parts.
 */
export async function itself(command: 'import' | 'pull', signal: AbortSignal): Promise<readonly string[]> {
  return /^ +--local\b/m.test(await execOk('ctr', ['images', command, '--help'], { signal })) ? ['--local'] : [];
}

/** `ctr` with the archive on its standard input; resolves with what it said. The archive is read no faster than it is taken. */
async function sendArchive(args: readonly string[], archive: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<string> {
  signal.throwIfAborted();
  const command = pipeCommand('ctr', args);
  const stop = (): void => { command.kill(); };
  signal.addEventListener('abort', stop, { once: true });
  let words = '';
  command.stdout.on('data', (chunk: Buffer) => { words = (words + chunk.toString()).slice(-(1 << 20)); });
  const reader = new ArchiveReader();
  // One that ends early says why itself.
  const sending = send(archive, reader, command.stdin);
  try {
    await Promise.race([command.ended, sending.then((failure) => { if (failure) throw failure; return command.ended; })]);
    return words;
  } catch (error) {
    signal.throwIfAborted();
    // All that ctr says is that something was filtered out.
    const images = reader.images();
    throw wrongArchitecture(images[0]?.names[0] ?? 'of the archive', images.map(({ architecture }) => architecture).filter(Boolean)) ?? error;
  } finally {
    signal.removeEventListener('abort', stop);
    command.kill();
  }
}

/** `ctr` with an archive on its standard output. */
export async function* receiveArchive(args: readonly string[], signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  signal.throwIfAborted();
  const command = pipeCommand('ctr', args);
  const stop = (): void => { command.kill(); };
  signal.addEventListener('abort', stop, { once: true });
  command.stdin.end();
  try {
    yield* command.stdout as AsyncIterable<Uint8Array>;
    await command.ended;
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
    command.kill();
  }
}

/** Resolves when all is sent or nobody takes any more, with what is wrong with the archive's source. */
async function send(archive: AsyncIterable<Uint8Array>, reader: ArchiveReader, sink: NodeJS.WritableStream): Promise<StatusError | undefined> {
  const closed = new Promise<true>((resolve) => { sink.once('close', () => { resolve(true); }); });
  try {
    for await (const chunk of archive) {
      reader.push(chunk);
      const taken = new Promise<boolean>((resolve) => { sink.write(chunk, (error) => { resolve(error !== undefined && error !== null); }); });
      if (await Promise.race([taken, closed])) return undefined;
    }
  } catch (error) {
    return error instanceof StatusError ? error : new StatusError('ServiceUnavailable', 'the archive broke off', { cause: error });
  }
  sink.end();
  return undefined;
}
