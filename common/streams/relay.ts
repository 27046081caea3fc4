import { commandChannels, type ByteStream, type Channels } from './channels.ts';

/** Which streams a command has; resize and no stderr come with a terminal. */
export interface CommandStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** The channels that a command's streams take. */
export function channelsOf({ stdin, stdout, stderr, tty }: CommandStreams): number[] {
  const { stdin: in_, stdout: out, stderr: err, status, resize } = commandChannels;
  return [...(stdin ? [in_] : []), ...(stdout ? [out] : []), ...(stderr ? [err] : []), status, ...(tty ? [resize] : [])];
}

/**
 * Joins the side of the user with the side of the program, until the program has ended and all that it wrote is
 * handed over, or one side breaks. Closes both. Rejects when the program's side broke.
 */
export async function relayCommand(user: Channels, program: Channels, streams: CommandStreams): Promise<void> {
  const { stdin, resize } = commandChannels;
  const all = channelsOf(streams);
  const isDown = (number: number): boolean => number === stdin || number === resize;
  // A program that reads no more of its input has not failed; what still comes is dropped.
  for (const number of all.filter(isDown)) pump(user.channel(number), program.channel(number)).catch(() => undefined);
  try {
    await Promise.race([Promise.all(all.filter((number) => !isDown(number)).map((number) => pump(program.channel(number), user.channel(number)))), user.closed]);
    user.close();
  } finally {
    program.close();
  }
}

/** Joins two streams until both directions have ended, or one breaks. */
export async function relayBytes(a: ByteStream, b: ByteStream): Promise<void> {
  await Promise.all([pump(a, b), pump(b, a)]);
}

async function pump(from: AsyncIterable<Uint8Array>, to: ByteStream): Promise<void> {
  for await (const chunk of from) await to.write(chunk);
  await to.end();
}
