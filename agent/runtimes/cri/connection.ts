import { Client, credentials, Metadata, type ClientReadableStream, type MethodDefinition } from '@grpc/grpc-js';
import type { Clock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { loadContract, type Contract } from '#proto/load.ts';
import { fromCri } from './errors.ts';
import type { CriCalls } from './messages.ts';

const imageCalls: ReadonlySet<string> = new Set(['ListImages', 'ImageStatus', 'PullImage', 'RemoveImage', 'ImageFsInfo']);

/** The runtime is told of a deadline that it need not meet: what counts is the one here, which is a little earlier. */
const laterMs = 1000;

/** What a runtime tells of a container by itself. */
export interface ContainerEvent {
  readonly containerId: string;
  /** The kernel has killed something in it because its memory ran out; it may run on. */
  readonly oomKilled: boolean;
  /** The runtime has let go of its process: how that ended is written down by now, or right after. */
  readonly released: boolean;
}

export interface EventSource {
  readonly stream: ClientReadableStream<unknown>;
  /** Undefined for what is of no container. */
  readonly read: (message: unknown) => ContainerEvent | undefined;
}

/** One HTTP/2 connection to a runtime's unix socket; reconnects by itself. */
export class CriConnection {
  readonly endpoint: string;
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #cri: Contract;
  #containerd: Contract | undefined;

  /** `endpoint` is the socket's absolute path, with or without `unix://`. */
  constructor(endpoint: string, clock: Clock) {
    this.#clock = clock;
    this.endpoint = endpoint.replace(/^unix:(\/\/)?/, '');
    this.#cri = load('../../../proto/third_party/cri/api.proto');
    this.#client = new Client(`unix:${this.endpoint}`, credentials.createInsecure(), {
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 3000,
      'grpc.max_receive_message_length': 16 << 20,
    });
  }

  call<M extends keyof CriCalls>(method: M, request: CriCalls[M][0], timeoutMs: number, signal: AbortSignal, headers: Readonly<Record<string, string>> = {}): Promise<CriCalls[M][1]> {
    const service = imageCalls.has(method) ? 'runtime.v1.ImageService' : 'runtime.v1.RuntimeService';
    const definition = methodOf(this.#cri, service, method);
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    return new Promise((resolve, reject) => {
      if (signal.aborted) { reject(signal.reason as Error); return; }
      const call = this.#client.makeUnaryRequest(
        definition.path, definition.requestSerialize, definition.responseDeserialize, request, metadata,
        { deadline: Date.now() + timeoutMs + laterMs },
        (error, response) => {
          settled();
          if (!error) resolve(response as CriCalls[M][1]);
          else if (signal.aborted) reject(signal.reason as Error);
          else if (isLate) reject(new StatusError('Timeout', `the container runtime did not answer ${method} within ${String(timeoutMs / 1000)} s; check that it is not stuck, or restart it`, { cause: error }));
          else reject(fromCri(method, error));
        },
      );
      const abort = (): void => { call.cancel(); };
      let isLate = false;
      const onTime = this.#clock.after(timeoutMs, () => {
        isLate = true;
        call.cancel();
      });
      const settled = (): void => {
        onTime();
        signal.removeEventListener('abort', abort);
      };
      signal.addEventListener('abort', abort, { once: true });
    });
  }

  /** containerd's own event stream: the container ids of events that match a filter, exec'd processes left out. */
  taskEvents(filters: readonly string[]): EventSource {
    this.#containerd ??= load('../../../proto/third_party/containerd/events.proto');
    const definition = methodOf(this.#containerd, 'containerd.services.events.v1.Events', 'Subscribe');
    const readExit = this.#containerd.deserializer('containerd.services.events.v1.TaskExit') as (bytes: Buffer) => { containerId: string; id: string };
    const readDelete = this.#containerd.deserializer('containerd.services.events.v1.TaskDelete') as (bytes: Buffer) => { containerId: string };
    return {
      stream: this.#stream(definition, { filters }),
      read: (message) => {
        const { topic, event } = message as { topic: string; event: { value: Buffer } | null };
        if (!event) return undefined;
        if (topic === '/tasks/delete') return { containerId: readDelete(event.value).containerId, oomKilled: false, released: true };
        const { containerId, id } = readExit(event.value);
        return topic === '/tasks/exit' && id !== containerId ? undefined : { containerId, oomKilled: topic === '/tasks/oom', released: false };
      },
    };
  }

  /** CRI's own event stream, which newer runtimes have. */
  criEvents(): EventSource {
    return {
      stream: this.#stream(methodOf(this.#cri, 'runtime.v1.RuntimeService', 'GetContainerEvents'), {}),
      read: (message) => ({ containerId: (message as { containerId: string }).containerId, oomKilled: false, released: false }),
    };
  }

  close(): void {
    this.#client.close();
  }

  #stream(definition: MethodDefinition<object, object>, request: object): ClientReadableStream<unknown> {
    return this.#client.makeServerStreamRequest(definition.path, definition.requestSerialize, definition.responseDeserialize, request);
  }
}

function load(path: string): Contract {
  return loadContract(new URL(path, import.meta.url), { longs: 'string' });
}

function methodOf({ services }: Contract, service: string, method: string): MethodDefinition<object, object> {
  const found = services.get(service)?.[method];
  if (!found) throw new Error(`the contract lacks ${service}/${method}`);
  return found;
}
