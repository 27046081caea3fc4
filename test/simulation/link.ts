import { EventEmitter } from 'node:events';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { AgentMessage, ControlMessage } from '#proto/edge/v1/messages.ts';

/**
 * One session's stream between a host and the control plane, over a network that delivers when the simulation says so.
 * The control plane's end looks like gRPC's, so that the real session runs on it. As with TCP, what was sent before a cut
 * arrives after it, unless one of the ends has given up.
 */
export class Link {
  readonly call: ServerDuplexStream<AgentMessage, ControlMessage>;
  readonly #emitter = new EventEmitter();
  readonly #down: ControlMessage[] = [];
  readonly #up: AgentMessage[] = [];
  readonly #arrived: AgentMessage[] = [];
  #wake: () => void = () => undefined;
  /** The host's end is closed, or the control plane's: the other learns of it over the network. */
  hostClosed = false;
  controlClosed = false;
  #cancelled = false;

  constructor() {
    const iterator = (): AsyncIterable<AgentMessage> => this.#received();
    const call = {
      on: (name: string, listener: () => void) => this.#emitter.on(name, listener),
      emit: (name: string) => { if (name === 'error') this.controlClosed = true; },
      end: () => { this.controlClosed = true; },
      write: (message: ControlMessage, done: (error?: Error) => void) => {
        if (this.#cancelled) done(new Error('the stream is closed'));
        else {
          if (!this.controlClosed) this.#down.push(message);
          done();
        }
      },
      iterator,
      destroyed: false,
    };
    Object.defineProperty(call, 'writableEnded', { get: () => this.controlClosed });
    this.call = call as unknown as ServerDuplexStream<AgentMessage, ControlMessage>;
  }

  async *#received(): AsyncGenerator<AgentMessage> {
    for (;;) {
      const message = this.#arrived.shift();
      if (message) yield message;
      else if (this.#cancelled) return;
      else await new Promise<void>((resolve) => { this.#wake = resolve; });
    }
  }

  send(message: AgentMessage): void {
    if (!this.hostClosed) this.#up.push(message);
  }

  /** Up to `count` messages arrive at the control plane; after them that the host has closed its end. */
  carryUp(count: number): void {
    this.#arrived.push(...this.#up.splice(0, count));
    if (this.hostClosed && this.#up.length === 0) this.cut();
    this.#wake();
  }

  /** Up to `count` messages, as they arrive at the host. */
  carryDown(count: number): ControlMessage[] {
    return this.#down.splice(0, count);
  }

  /** All that was sent has arrived, and more will not come. */
  get isOver(): boolean { return this.controlClosed && this.#down.length === 0; }

  /** The control plane's machine says that the connection is gone. */
  cut(): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.#emitter.emit('cancelled');
    this.#wake();
  }
}
