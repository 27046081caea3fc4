import type { Clock } from '#common/clock.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import type { Channels } from '#common/streams/channels.ts';
import { exitStatus } from '#common/streams/exit-status.ts';
import type { CommandStreams } from '#common/streams/relay.ts';
import type { LogEntry, LogOptions } from '../types.ts';
import type { DockerEngine } from './engine.ts';
import { frames, plainFrames } from './frames.ts';
import { logEntries } from './logs.ts';
import type { InspectedContainer, InspectedExec } from './messages.ts';
import { commandOver } from './streams.ts';

/** What is kept of what a command says when nobody reads it along. */
const maxOutputBytes = 1 << 20;
const resizeTries = 6;

/** Looks and reaches into containers: logs, commands, and the streams of their own programs. */
export class DockerExec {
  readonly #engine: DockerEngine;
  readonly #clock: Clock;

  constructor(engine: DockerEngine, clock: Clock) {
    this.#engine = engine;
    this.#clock = clock;
  }

  async *log(id: string, { follow, tailLines, sinceMs }: LogOptions, signal: AbortSignal): AsyncGenerator<LogEntry> {
    const { Config: config } = await this.#engine.call<InspectedContainer>('GET', `/containers/${id}/json`, {}, signal);
    const answer = await this.#engine.open('GET', `/containers/${id}/logs`, {
      query: {
        stdout: true, stderr: true, timestamps: true, follow, tail: tailLines ?? 'all',
        ...(sinceMs !== undefined && sinceMs > 0 && { since: (sinceMs / 1000).toFixed(9) }),
      },
    }, signal);
    try {
      yield* logEntries(config.Tty ? plainFrames(answer) : frames(answer));
    } catch (error) {
      if (!signal.aborted) throw new StatusError('ServiceUnavailable', 'the log could not be read to its end: the connection to Docker broke', { cause: error });
    } finally {
      answer.destroy();
    }
  }

  async run(containerId: string, command: readonly string[], timeoutMs: number, signal: AbortSignal): Promise<{ exitCode: number; output: string }> {
    const id = await this.#create(containerId, command, { stdin: false, stdout: true, stderr: true, tty: false }, signal);
    const socket = await this.#engine.hijack(`/exec/${id}/start`, { json: { Detach: false, Tty: false } }, signal);
    const stop = (): void => { socket.destroy(); };
    const late = new AbortController();
    const cancel = this.#clock.after(timeoutMs, () => { late.abort(); stop(); });
    signal.addEventListener('abort', stop, { once: true });
    const chunks: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const { data } of frames(socket)) {
        if (bytes < maxOutputBytes) chunks.push(data.subarray(0, maxOutputBytes - bytes));
        bytes += data.length;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!late.signal.aborted) throw new StatusError('ServiceUnavailable', 'the connection to Docker broke', { cause: error });
    } finally {
      cancel();
      signal.removeEventListener('abort', stop);
    }
    if (late.signal.aborted) {
      await this.#kill(id, signal);
      throw new StatusError('Timeout', `command ${JSON.stringify(command)} timed out after ${String(Math.ceil(timeoutMs / 1000))}s`);
    }
    return { exitCode: await this.#exitCode(id, signal), output: Buffer.concat(chunks).toString('utf8') };
  }

  async stream(containerId: string, command: readonly string[], streams: CommandStreams, signal: AbortSignal): Promise<Channels> {
    const id = await this.#create(containerId, command, streams, signal);
    const socket = await this.#engine.hijack(`/exec/${id}/start`, { json: { Detach: false, Tty: streams.tty } }, signal);
    const over = new AbortController();
    const channels = commandOver(socket, streams, {
      resize: (width, height) => this.#resize(`/exec/${id}/resize`, width, height, over.signal),
      status: async () => exitStatus(await this.#exitCode(id, over.signal)),
    });
    void channels.closed.then(() => { over.abort(); });
    return channels;
  }

  async attach(containerId: string, streams: CommandStreams, status: () => object, signal: AbortSignal): Promise<Channels> {
    const { Config: config } = await this.#engine.call<InspectedContainer>('GET', `/containers/${containerId}/json`, {}, signal);
    const { stdin, stdout, stderr } = streams;
    const socket = await this.#engine.hijack(`/containers/${containerId}/attach`, { query: { stream: true, stdin, stdout, stderr: stderr || config.Tty } }, signal);
    const over = new AbortController();
    const channels = commandOver(socket, { ...streams, tty: config.Tty }, {
      resize: (width, height) => this.#resize(`/containers/${containerId}/resize`, width, height, over.signal),
      status: () => Promise.resolve(status()),
    });
    void channels.closed.then(() => { over.abort(); });
    return channels;
  }

  async #create(containerId: string, command: readonly string[], { stdin, stdout, stderr, tty }: CommandStreams, signal: AbortSignal): Promise<string> {
    const request = { Cmd: command, AttachStdin: stdin, AttachStdout: stdout, AttachStderr: stderr, Tty: tty };
    return (await this.#engine.call<{ Id: string }>('POST', `/containers/${containerId}/exec`, { json: request }, signal)).Id;
  }

  /** The output ends a moment before Docker has noted the exit code. */
  async #exitCode(id: string, signal: AbortSignal): Promise<number> {
    for (let waitMs = 2; ; waitMs = Math.min(2 * waitMs, 500)) {
      const { Running, ExitCode } = await this.#engine.call<InspectedExec>('GET', `/exec/${id}/json`, {}, signal);
      if (!Running && ExitCode !== null) return ExitCode;
      await this.#clock.sleep(waitMs, signal);
    }
  }

  /** Docker has no call for it: the process is ended by its id on this host. */
  async #kill(id: string, signal: AbortSignal): Promise<void> {
    const { Running, Pid } = await this.#engine.call<InspectedExec>('GET', `/exec/${id}/json`, {}, signal);
    if (!Running || Pid <= 1) return;
    try {
      process.kill(Pid, 'SIGKILL');
    } catch {
      // It has ended in the meantime.
    }
  }

  /** A program that is just being started has no terminal yet. */
  async #resize(path: string, width: number, height: number, signal: AbortSignal): Promise<void> {
    for (let tries = 1, waitMs = 20; ; tries++, waitMs *= 2) {
      try {
        await this.#engine.call('POST', path, { query: { w: width, h: height } }, signal);
        return;
      } catch (error) {
        if (signal.aborted || tries === resizeTries) return;
        if (!isStatus(error)) throw error;
        await this.#clock.sleep(waitMs, signal).catch(() => undefined);
      }
    }
  }
}
