import { randomBytes } from 'node:crypto';
import { constants, openSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import type { Clock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { exec, openCommand, type OpenCommand } from '#common/exec.ts';
import { ChannelMux, commandChannels, type Channels } from '#common/streams/channels.ts';
import { exitStatus } from '#common/streams/exit-status.ts';
import { channelsOf, type CommandStreams } from '#common/streams/relay.ts';
import { childrenOf } from '../process.ts';
import { terminalSize } from '../terminal-size.ts';
import { ExecPipes } from './exec-pipes.ts';
import { shellWord } from '../containerd/shell-word.ts';
import type { Pipes } from './pipes.ts';
import { fromCtr, type Ctr } from '../containerd/ctr.ts';
import type { ContainerRecord } from './records.ts';
import type { Tasks } from './tasks.ts';
import { within } from './within.ts';

export interface CommandDeps { readonly ctr: Ctr; readonly tasks: Tasks; readonly clock: Clock }

const maxOutputBytes = 1 << 20;
const killedMs = 5000;
const resizeTries = 8;
const drainMs = 2000;
/** Whoever reads may be slow. */
const streamDrainMs = 15_000;
const maxWords = 4000;

/** Runs commands in containers, and connects users with their programs. */
export class Commands {
  readonly #deps: CommandDeps;
  readonly #execDir: string;
  #swept: Promise<void> | undefined;

  /** `execDir` is for pipes; what an earlier agent left there goes. */
  constructor(deps: CommandDeps, { execDir }: { readonly execDir: string }) {
    this.#deps = deps;
    this.#execDir = execDir;
  }

  /** To its end; all that it says, up to a limit. */
  async run({ id }: ContainerRecord, command: readonly string[], timeoutMs: number, signal: AbortSignal): Promise<{ exitCode: number; output: string }> {
    const { ctr, clock } = this.#deps;
    const execId = newExecId();
    const pipes = await this.#pipes(execId);
    const running = ctr.open(['tasks', 'exec', '--exec-id', execId, '--log-uri', pipes.uri, id, ...command]);
    running.stdin.end();
    running.stdout.resume();
    const words = wordsOf(running);
    const chunks: Buffer[] = [];
    let bytes = 0;
    for (const stream of [pipes.stdout, pipes.stderr]) {
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
      await this.#drain(pipes, drainMs);
      const output = Buffer.concat(chunks).toString('utf8');
      if (late) throw new StatusError('Timeout', `command ${JSON.stringify(command)} timed out after ${String(Math.ceil(timeoutMs / 1000))}s`);
      if (exitCode === 1 && /^ctr: /m.test(words())) throw fromCtr(ctr.endpoint, words());
      return { exitCode, output };
    } finally {
      cancel();
      await pipes.remove();
      signal.removeEventListener('abort', end);
    }
  }

  async #pipes(execId: string): Promise<ExecPipes> {
    await (this.#swept ??= rm(this.#execDir, { recursive: true, force: true }));
    return ExecPipes.open(join(this.#execDir, execId));
  }

  /** What is still in the pipes of a command that has ended; a process that it left behind may hold them for ever. */
  async #drain(pipes: ExecPipes, ms: number): Promise<void> {
    pipes.release();
    await within(pipes.drained(), ms, this.#deps.clock);
  }

  /** With its streams connected. A terminal is made by `script`, since `ctr` wants one to stand in front of. */
  async stream({ id }: ContainerRecord, command: readonly string[], streams: CommandStreams): Promise<Channels> {
    const { ctr } = this.#deps;
    const execId = newExecId();
    // One that has an input has the pipes that `ctr` makes: it connects an input with no others.
    const pipes = streams.stdin || streams.tty ? undefined : await this.#pipes(execId);
    const words = ['tasks', 'exec', '--exec-id', execId, ...(streams.tty ? ['--tty'] : []), ...(pipes ? ['--log-uri', pipes.uri] : []), id, ...command];
    const running = streams.tty ? openCommand('script', ['-qefc', inTerminal(['ctr', ...ctr.arguments(words)]), '/dev/null']) : ctr.open(words);
    if (!streams.stdin && !streams.tty) running.stdin.end();
    let over = false;
    const resize = async (message: Uint8Array): Promise<void> => {
      const size = terminalSize(message);
      // `script` takes a moment to start what has its terminal.
      for (let tries = 0, waitMs = 10; size && !over && tries < resizeTries; tries++, waitMs *= 2) {
        const [child] = await childrenOf(running.pid);
        if (child !== undefined && await setSize(child, size)) return;
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
    const forward = async (name: 'stdout' | 'stderr', source: AsyncIterable<Buffer>): Promise<void> => { for await (const chunk of source) await mux.receive(commandChannels[name], chunk); };
    const outputs = (['stdout', 'stderr'] as const).map(async (name) => {
      if (pipes) await forward(name, pipes[name]);
      // What `ctr` itself says comes last: it is why a command could not be run.
      await forward(name, running[name] as AsyncIterable<Buffer>);
      mux.receiveEnd(commandChannels[name]);
    });
    if (pipes) void running.ended.catch(() => undefined).then(() => this.#drain(pipes, streamDrainMs)).finally(() => { void pipes.remove(); });
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

/**
 * What a shell runs `ctr` by in a terminal that the command's own stands behind: that one echoes and ends lines already. Of what `ctr`
 * says of itself at the end, that it was late to tell the size is nothing to anybody.
 */
function inTerminal(command: readonly string[]): string {
  return `stty -echo -onlcr; exec 3>&1; said=$(${command.map(shellWord).join(' ')} 2>&1 >&3); code=$?; stty onlcr; printf '%s\\n' "$said" | grep -v -e '^$' -e 'resize pty'; exit $code`;
}

/** What it has said of itself, at most so much. */
function wordsOf({ stderr }: OpenCommand): () => string {
  let text = '';
  stderr.on('data', (chunk: Buffer) => { text = (text + chunk.toString()).slice(-maxWords); });
  return () => text;
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
