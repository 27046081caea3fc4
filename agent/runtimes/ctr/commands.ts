import { randomBytes } from 'node:crypto';
import { constants, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import type { Clock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { exec, openCommand, type OpenCommand } from '#common/exec.ts';
import { ChannelMux, commandChannels, type Channels } from '#common/streams/channels.ts';
import { exitStatus } from '#common/streams/exit-status.ts';
import { channelsOf, type CommandStreams } from '#common/streams/relay.ts';
import { terminalSize } from '../terminal-size.ts';
import { shellWord, type Pipes } from './pipes.ts';
import { fromCtr, type Ctr } from './ctr.ts';
import type { ContainerRecord } from './records.ts';
import type { Tasks } from './tasks.ts';
import { within } from './within.ts';

export interface CommandDeps { readonly ctr: Ctr; readonly tasks: Tasks; readonly clock: Clock }

const maxOutputBytes = 1 << 20;
const killedMs = 5000;
const resizeTries = 8;

/** Runs commands in containers, and connects users with their programs. */
export class Commands {
  readonly #deps: CommandDeps;

  constructor(deps: CommandDeps) {
    this.#deps = deps;
  }

  /** To its end; all that it says, up to a limit. */
  async run({ id }: ContainerRecord, command: readonly string[], timeoutMs: number, signal: AbortSignal): Promise<{ exitCode: number; output: string }> {
    const { ctr, clock } = this.#deps;
    const execId = newExecId();
    const running = ctr.open(['tasks', 'exec', '--exec-id', execId, id, ...command]);
    running.stdin.end();
    const chunks: Buffer[] = [];
    let bytes = 0;
    for (const stream of [running.stdout, running.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        if (bytes < maxOutputBytes) chunks.push(chunk.subarray(0, maxOutputBytes - bytes));
        bytes += chunk.length;
      });
    }
    let late = false;
    const end = (): void => { void this.#end(id, execId, running); };
    const cancel = clock.after(timeoutMs, () => { late = true; end(); });
    signal.addEventListener('abort', end, { once: true });
    try {
      const exitCode = await running.ended;
      signal.throwIfAborted();
      const output = Buffer.concat(chunks).toString('utf8');
      if (late) throw new StatusError('Timeout', `command ${JSON.stringify(command)} timed out after ${String(Math.ceil(timeoutMs / 1000))}s`);
      if (exitCode === 1 && /^ctr: /m.test(output)) throw fromCtr(ctr.endpoint, output);
      return { exitCode, output };
    } finally {
      cancel();
      signal.removeEventListener('abort', end);
    }
  }

  /** With its streams connected. A terminal is made by `script`, since `ctr` wants one to stand in front of. */
  stream({ id }: ContainerRecord, command: readonly string[], streams: CommandStreams): Channels {
    const { ctr } = this.#deps;
    const execId = newExecId();
    const words = ['tasks', 'exec', '--exec-id', execId, ...(streams.tty ? ['--tty'] : []), id, ...command];
    const running = streams.tty ? openCommand('script', ['-qefc', `exec ${['ctr', ...ctr.arguments(words)].map(shellWord).join(' ')}`, '/dev/null']) : ctr.open(words);
    if (!streams.stdin && !streams.tty) running.stdin.end();
    let over = false;
    const resize = async (message: Uint8Array): Promise<void> => {
      const size = terminalSize(message);
      // `script` takes a moment to start what has its terminal.
      for (let tries = 0, waitMs = 10; size && !over && tries < resizeTries; tries++, waitMs *= 2) {
        const [child] = (await readFile(`/proc/${String(running.pid)}/task/${String(running.pid)}/children`, 'utf8').catch(() => '')).trim().split(' ');
        if (child && await setSize(Number(child), size)) return;
        await this.#deps.clock.sleep(waitMs, new AbortController().signal);
      }
    };
    const closed = Promise.withResolvers<undefined>();
    const mux = new ChannelMux({
      data: (channel, data) => (channel === commandChannels.resize ? resize(data) : channel === commandChannels.stdin ? writeTo(running.stdin, data) : Promise.resolve()),
      end: (channel) => (channel === commandChannels.stdin ? endOf(running.stdin) : Promise.resolve()),
    }, channelsOf(streams));
    const finish = (error?: Error): void => {
      if (over) return;
      over = true;
      mux.finish(error);
      closed.resolve(undefined);
    };
    const outputs = ([['stdout', running.stdout], ['stderr', running.stderr]] as const).map(async ([name, source]) => {
      for await (const chunk of source as AsyncIterable<Buffer>) await mux.receive(commandChannels[name], chunk);
      mux.receiveEnd(commandChannels[name]);
    });
    Promise.all([running.ended, ...outputs]).then(async ([exitCode]) => {
      await mux.receive(commandChannels.status, Buffer.from(JSON.stringify(exitStatus(exitCode))));
      finish();
    }).catch((error: unknown) => { finish(new StatusError('InternalError', 'the command could not be run to its end', { cause: error })); });
    return {
      channel: (number) => mux.channel(number),
      closed: closed.promise,
      close: (error) => {
        // Nobody is there any more to whom it could say anything.
        if (!over) void this.#end(id, execId, running);
        mux.discard();
        finish(error);
      },
    };
  }

  /** The container's own program, until it ends or the user goes. */
  attach({ streams: own, process }: ContainerRecord, pipes: Pipes, streams: CommandStreams): Channels {
    const closed = Promise.withResolvers<undefined>();
    let over = false;
    const input = streams.stdin && own.stdin ? writerOf(pipes.pipe('stdin')) : undefined;
    const mux = new ChannelMux({
      data: async (channel, data) => {
        if (channel === commandChannels.stdin && input) await writeTo(input, data);
        const size = channel === commandChannels.resize ? terminalSize(data) : undefined;
        if (size && process) await setSize(process.pid, size);
      },
      end: (channel) => (channel === commandChannels.stdin && input ? endOf(input) : Promise.resolve()),
    }, channelsOf(streams));
    const unsubscribe = pipes.subscribe((stream, bytes) => mux.receive(commandChannels[stream], bytes));
    const finish = (error?: Error): void => {
      if (over) return;
      over = true;
      unsubscribe();
      input?.destroy();
      mux.finish(error);
      closed.resolve(undefined);
    };
    pipes.drained().then(async () => {
      await mux.receive(commandChannels.status, Buffer.from(JSON.stringify(exitStatus(0))));
      finish();
    }, finish);
    return {
      channel: (number) => mux.channel(number),
      closed: closed.promise,
      close: (error) => {
        mux.discard();
        finish(error);
      },
    };
  }

  /** `ctr` ends when what it has started does; only where that does not help is it ended itself. */
  async #end(id: string, execId: string, running: OpenCommand): Promise<void> {
    const signal = AbortSignal.timeout(killedMs);
    await this.#deps.ctr.attempt(['tasks', 'kill', '--exec-id', execId, '--signal', 'SIGKILL', id], signal).catch(() => undefined);
    await within(running.ended.catch(() => undefined), killedMs, this.#deps.clock);
    running.kill();
  }
}

function newExecId(): string {
  return `exec-${randomBytes(8).toString('hex')}`;
}

/** Of the terminal that a process has as its input. */
async function setSize(pid: number, { width, height }: { width: number; height: number }): Promise<boolean> {
  return (await exec('stty', ['-F', `/proc/${String(pid)}/fd/0`, 'rows', String(height), 'cols', String(width)])).exitCode === 0;
}

function writerOf(pipe: string): Writable {
  return new Socket({ fd: openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK), readable: false, writable: true });
}

function writeTo(sink: Writable, data: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    sink.write(data, (error) => {
      if (error) reject(new StatusError('ServiceUnavailable', 'the program takes no more', { cause: error }));
      else resolve();
    });
  });
}

function endOf(sink: Writable): Promise<void> {
  return new Promise((resolve) => {
    if (sink.writable) sink.end(resolve);
    else resolve();
  });
}
