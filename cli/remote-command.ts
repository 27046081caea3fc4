import type { Readable, Writable } from 'node:stream';
import { StatusError } from '#common/errors.ts';
import type { RestClient } from './client.ts';
import { exitCode } from './command-streams.ts';
import { podPath, type TargetPod } from './pod-target.ts';
import { openSpdy } from './stream-client.ts';

export interface RemoteStreams {
  readonly input?: Readable;
  readonly output?: Writable;
}

const maxWords = 2000;

/** Runs a command in a container to its end. Resolves with its exit code and what it said on its error stream. */
export async function runRemote(client: RestClient, pod: TargetPod, container: string, command: readonly string[], { input, output }: RemoteStreams, signal: AbortSignal): Promise<{ readonly code: number; readonly words: string }> {
  const query = new URLSearchParams({ container, stdout: 'true', stderr: 'true', stdin: String(input !== undefined) });
  for (const word of command) query.append('command', word);
  const connection = await openSpdy(client, `${podPath(pod)}/exec?${query.toString()}`, 'v4.channel.k8s.io');
  const stop = (): void => { connection.close(); };
  signal.addEventListener('abort', stop, { once: true });
  try {
    const open = (type: string) => connection.open(new Map([['streamtype', type]]));
    const [status, stdin, stdout, stderr] = [await open('error'), input && await open('stdin'), await open('stdout'), await open('stderr')];
    const send = async (): Promise<void> => {
      if (!input || !stdin) return;
      for await (const chunk of input as AsyncIterable<Uint8Array>) await stdin.write(chunk);
      await stdin.end();
    };
    const receive = async (): Promise<void> => {
      const sink = output && writerOf(output);
      for await (const chunk of stdout) await sink?.write(chunk);
      await sink?.end();
    };
    const sending = send();
    sending.catch(() => undefined); // a command that ends early says why itself
    const [, words, text] = await Promise.all([receive(), textOf(stderr, maxWords), textOf(status, 1 << 20)]);
    if (signal.aborted) throw new StatusError('Timeout', 'interrupted');
    return { code: exitCode(text), words };
  } finally {
    signal.removeEventListener('abort', stop);
    connection.close();
  }
}

async function textOf(stream: AsyncIterable<Uint8Array>, limit: number): Promise<string> {
  let text = '';
  for await (const chunk of stream) if (text.length < limit) text += Buffer.from(chunk).toString();
  return text;
}

/** Writes that wait for what takes them. */
function writerOf(sink: Writable): { write(chunk: Uint8Array): Promise<void>; end(): Promise<void> } {
  return {
    write: (chunk) => new Promise((resolve, reject) => { sink.write(chunk, (error) => { if (error) reject(error); else resolve(); }); }),
    end: () => new Promise((resolve) => { sink.end(resolve); }),
  };
}
