import type { ReadStream } from 'node:tty';
import { StatusError } from '#common/errors.ts';
import type { SpdyConnection, SpdyStream } from '#common/spdy/connection.ts';
import type { RestClient } from './client.ts';
import { copyOut } from './copy-out.ts';
import { podPath, type TargetPod } from './pod-target.ts';
import { openSpdy } from './stream-client.ts';
import type { Io } from './types.ts';

interface UserStreams {
  readonly stdin: boolean;
  readonly tty: boolean;
}

interface PodStreams extends UserStreams {
  readonly what: 'exec' | 'attach';
  readonly container: string;
  readonly command: readonly string[];
}

/** Runs a command in a pod, or goes to the program there, with the user's terminal or pipes. Resolves with its exit code. */
export async function connectPod(client: RestClient, pod: TargetPod, { what, container, command, stdin, tty }: PodStreams, io: Io): Promise<number> {
  const { phase } = pod.status ?? {};
  if (phase === 'Succeeded' || phase === 'Failed') throw new StatusError('BadRequest', `cannot ${what === 'exec' ? 'exec into' : 'attach'} a container in a completed pod; current phase is ${phase}`);
  const query = new URLSearchParams({ container, stdout: 'true', stderr: String(!tty), stdin: String(stdin), tty: String(tty) });
  for (const word of command) query.append('command', word);
  return connectUser(await openSpdy(client, `${podPath(pod)}/${what}?${query.toString()}`, 'v4.channel.k8s.io'), io, { stdin, tty });
}

/** Connects a command in a pod with the user's terminal or pipes until it ends. Resolves with its exit code. */
async function connectUser(connection: SpdyConnection, io: Io, { stdin, tty }: UserStreams): Promise<number> {
  const open = (type: string): Promise<SpdyStream> => connection.open(new Map([['streamtype', type]]));
  const status = await open('error');
  const input = stdin ? await open('stdin') : undefined;
  const output = await open('stdout');
  const errors = tty ? undefined : await open('stderr');
  const resize = tty ? await open('resize') : undefined;
  const restore = tty ? rawTerminal(io, resize) : (): void => undefined;
  const stopInput = input ? send(io, input) : (): void => undefined;
  const stop = (): void => { connection.close(); };
  io.interrupted.addEventListener('abort', stop, { once: true });
  try {
    const [, , text] = await Promise.all([copyOut(output, io.out.bind(io)), errors && copyOut(errors, (chunk) => { io.err(Buffer.from(chunk).toString()); return true; }), textOf(status)]);
    if (io.interrupted.aborted) return 130;
    const code = exitCode(text);
    if (code !== 0) io.err(`command terminated with exit code ${String(code)}\n`);
    return code;
  } finally {
    restore();
    io.interrupted.removeEventListener('abort', stop);
    connection.close();
    stopInput();
  }
}

/** Keys go to the command as they are typed, and it is told how large the screen is. The returned function puts it back. */
function rawTerminal(io: Io, resize: SpdyStream | undefined): () => void {
  const keyboard = io.stdin as Partial<ReadStream>;
  keyboard.setRawMode?.(true);
  const tell = (): void => {
    const [Width, Height] = [process.stdout.columns, process.stdout.rows];
    if (Width > 0 && Height > 0) resize?.write(Buffer.from(`${JSON.stringify({ Width, Height })}\n`)).catch(() => undefined);
  };
  tell();
  process.stdout.on('resize', tell);
  return () => {
    process.stdout.off('resize', tell);
    keyboard.setRawMode?.(false);
  };
}

/** Passes on what is typed or piped, no faster than it is taken. The returned function stops it, so that this process can end. */
function send({ stdin }: Io, input: SpdyStream): () => void {
  const take = (chunk: Buffer): void => {
    stdin.pause();
    input.write(chunk).then(() => stdin.resume(), () => undefined);
  };
  const end = (): void => { input.end().catch(() => undefined); };
  stdin.on('data', take).once('end', end);
  return () => { stdin.off('data', take).off('end', end).pause(); };
}

async function textOf(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** From the Status that ends a command. Without one the connection broke. */
export function exitCode(text: string): number {
  if (text === '') throw new StatusError('ServiceUnavailable', 'the connection to the command broke before it ended');
  const status = JSON.parse(text) as { status?: string; message?: string; details?: { causes?: readonly { reason?: string; message?: string }[] } };
  if (status.status === 'Success') return 0;
  const code = status.details?.causes?.find(({ reason }) => reason === 'ExitCode')?.message;
  if (code !== undefined && /^\d+$/.test(code)) return Number(code);
  throw new StatusError('InternalError', status.message ?? text);
}
