import { Server, ServerCredentials, status, type handleUnaryCall, type ServiceDefinition } from '@grpc/grpc-js';
import { loadContract } from '#proto/load.ts';
import type { Fault } from '../test-faults.ts';

interface Item { readonly id: string; readonly labels: Record<string, string>; readonly metadata: { readonly name: string }; state: string }
interface ListedContainer extends Item { readonly podSandboxId: string; readonly annotations: Record<string, string> }
interface MadeOf { readonly config: Pick<ListedContainer, 'labels' | 'metadata' | 'annotations'>; readonly podSandboxId: string }

/** For tests: a runtime that keeps pods in memory and speaks CRI on a unix socket, apart from the faults that it is given. */
export class CriServer {
  /** By method. One that gives undefined leaves that call to be answered with the truth. */
  readonly faults = new Map<string, Fault>();
  readonly #server = new Server();
  readonly #sandboxes = new Map<string, Item>();
  readonly #containers = new Map<string, ListedContainer>();
  #made = 0;

  static async open(endpoint: string): Promise<CriServer> {
    const server = new CriServer();
    const { services } = loadContract(new URL('../../../proto/third_party/cri/api.proto', import.meta.url));
    for (const name of ['runtime.v1.RuntimeService', 'runtime.v1.ImageService']) {
      const service = services.get(name) ?? {};
      const raw: ServiceDefinition = Object.fromEntries(Object.entries(service).map(([method, definition]) => [method, { ...definition, responseSerialize: (value: unknown) => (Buffer.isBuffer(value) ? value : definition.responseSerialize(value)) }]));
      server.#server.addService(raw, { ...Object.fromEntries(Object.keys(service).map((method) => [method, server.#unary(method)])), GetContainerEvents: () => undefined });
    }
    await new Promise((resolve) => { server.#server.bindAsync(`unix:${endpoint}`, ServerCredentials.createInsecure(), resolve); });
    return server;
  }

  close(): void { this.#server.forceShutdown(); }

  #unary(method: string): handleUnaryCall<Record<string, unknown>, object> {
    return ({ request }, done) => {
      const answer = this.faults.get(method)?.(request) ?? this.#answer(method, request);
      if (answer === 'silence') return;
      if (answer instanceof Error) done({ code: status.UNKNOWN, details: answer.message });
      else if (answer) done(null, answer);
      else done({ code: status.NOT_FOUND, details: 'no such thing' });
    };
  }

  #answer(method: string, request: Record<string, unknown>): object | undefined {
    const [sandboxId, containerId] = [String(request['podSandboxId']), String(request['containerId'])];
    const [sandbox, container] = [this.#sandboxes.get(sandboxId), this.#containers.get(containerId)];
    switch (method) {
      case 'Version': return { runtimeName: 'containerd', runtimeVersion: '1.7.0' };
      case 'Status': return { status: { conditions: [] } };
      case 'ImageStatus': return { image: { id: 'sha256:1', repoTags: ['docker.io/library/cleat-hello:1'] } };
      case 'ListPodSandbox': return { items: chosen(this.#sandboxes, request) };
      case 'ListContainers': return { containers: chosen(this.#containers, request) };
      case 'PodSandboxStatus': return sandbox && { status: { ...sandbox, network: { ip: '10.42.0.9' } } };
      case 'ContainerStatus': return container && { status: { ...container, startedAt: 1_000_000_000, imageRef: 'sha256:1' } };
      case 'RunPodSandbox': return { podSandboxId: this.#make(this.#sandboxes, { ...(request as unknown as MadeOf).config, state: 'SANDBOX_READY' }) };
      case 'StopPodSandbox': return sandbox && this.#change(sandbox, 'SANDBOX_NOTREADY');
      case 'RemovePodSandbox': this.#sandboxes.delete(sandboxId); return {};
      case 'CreateContainer': return sandbox && { containerId: this.#make(this.#containers, { ...(request as unknown as MadeOf).config, podSandboxId: sandboxId, state: 'CONTAINER_CREATED' }) };
      case 'StartContainer': return container && this.#change(container, 'CONTAINER_RUNNING');
      case 'StopContainer': return container && this.#change(container, 'CONTAINER_EXITED');
      case 'RemoveContainer': this.#containers.delete(containerId); return {};
      case 'ListContainerStats': case 'ListImages': return {};
      default: return undefined;
    }
  }

  #make<T extends Item>(items: Map<string, T>, item: Omit<T, 'id'>): string {
    const id = `id-${String(++this.#made)}`;
    items.set(id, { ...item, id } as T);
    return id;
  }

  #change(item: Item, state: string): object {
    item.state = state;
    return {};
  }
}

function chosen(items: ReadonlyMap<string, Item>, { filter }: Record<string, unknown>): Item[] {
  const { labelSelector = {} } = filter as { labelSelector?: Record<string, string> };
  return [...items.values()].filter(({ labels }) => Object.entries(labelSelector).every(([name, value]) => labels[name] === value));
}
