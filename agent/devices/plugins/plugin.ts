import { Client, credentials } from '@grpc/grpc-js';
import { messageOf, StatusError } from '#common/errors.ts';
import { callPlugin } from '#agent/plugin-call.ts';
import type { ContainerParts, Device, DeviceSource } from '../types.ts';
import type { ContainerAllocateResponse, ListAndWatchResponse, PluginCalls, PluginContract, PluginOptions } from './contract.ts';

const connectMs = 10_000;
const optionsMs = 10_000;
const preferMs = 30_000;
/** The kubelet waits for ever; what a device needs to be programmed takes minutes at most. */
const allocateMs = 300_000;
const preStartMs = 30_000;
const maxMessageBytes = 16 << 20;
const maxDevices = 10_000;

/** A device plugin that has registered: what it offers, over its own socket. */
export class Plugin implements DeviceSource {
  readonly fresh = false;
  readonly #contract: PluginContract;
  readonly #client: Client;
  readonly #endpoint: string;
  #options: PluginOptions = { preStartRequired: false, getPreferredAllocationAvailable: false };
  #prefer: DeviceSource['prefer'];
  #prepare: DeviceSource['prepare'];

  constructor(contract: PluginContract, endpoint: string) {
    this.#contract = contract;
    this.#endpoint = endpoint;
    this.#client = new Client(`unix:${endpoint}`, credentials.createInsecure(), { 'grpc.max_receive_message_length': maxMessageBytes, 'grpc.use_local_subchannel_pool': 1 });
  }

  get prefer(): DeviceSource['prefer'] { return this.#prefer; }
  get prepare(): DeviceSource['prepare'] { return this.#prepare; }

  /** Resolves when the plugin answers, with what it can do known; rejects when it does not. */
  async connect(registered: PluginOptions | null, signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => { this.#client.waitForReady(Date.now() + connectMs, (error) => { if (error) reject(new StatusError('ServiceUnavailable', `failed to dial device plugin: nobody answers at ${this.#endpoint} within ${String(connectMs / 1000)} s`, { cause: error })); else resolve(); }); });
    const told = await this.#call('GetDevicePluginOptions', {}, optionsMs, signal).catch((error: unknown) => {
      // Older than that call: what it said when it registered is all there is.
      if (error instanceof StatusError && error.code === 'MethodNotAllowed') return this.#options;
      throw new StatusError('ServiceUnavailable', `failed to get device plugin options: ${messageOf(error)}`, { cause: error });
    });
    this.#options = { preStartRequired: told.preStartRequired || registered?.preStartRequired === true, getPreferredAllocationAvailable: told.getPreferredAllocationAvailable || registered?.getPreferredAllocationAvailable === true };
    if (this.#options.getPreferredAllocationAvailable) this.#prefer = (available, mustInclude, size, stop) => this.#preferred(available, mustInclude, size, stop);
    if (this.#options.preStartRequired) this.#prepare = async (ids, stop) => { await this.#call('PreStartContainer', { devicesIds: ids }, preStartMs, stop); };
  }

  /** Its devices, whole each time that anything changed, until the plugin ends or the signal aborts. Rejects with why it ended. */
  async *watch(signal: AbortSignal): AsyncIterable<readonly Device[]> {
    signal.throwIfAborted();
    const { path, requestSerialize, responseDeserialize } = this.#contract.method('ListAndWatch');
    const stream = this.#client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {});
    const stop = (): void => { stream.cancel(); };
    signal.addEventListener('abort', stop, { once: true });
    try {
      for await (const message of stream as AsyncIterable<ListAndWatchResponse>) yield devicesOf(message);
    } finally {
      signal.removeEventListener('abort', stop);
      stream.on('error', () => undefined);
      stream.cancel();
    }
  }

  async allocate(ids: readonly string[], signal: AbortSignal): Promise<ContainerParts> {
    const { containerResponses } = await this.#call('Allocate', { containerRequests: [{ devicesIds: ids }] }, allocateMs, signal);
    const [response] = containerResponses;
    if (!response) throw new StatusError('InternalError', 'no containers return in allocation response');
    return partsOf(response);
  }

  async #preferred(availableDeviceIDs: readonly string[], mustIncludeDeviceIDs: readonly string[], allocationSize: number, signal: AbortSignal): Promise<readonly string[]> {
    const { containerResponses } = await this.#call('GetPreferredAllocation', { containerRequests: [{ availableDeviceIDs, mustIncludeDeviceIDs, allocationSize }] }, preferMs, signal);
    return containerResponses[0]?.deviceIDs ?? [];
  }

  close(): void {
    this.#client.close();
  }

  #call<M extends keyof PluginCalls>(method: M, request: PluginCalls[M][0], timeoutMs: number, signal: AbortSignal): Promise<PluginCalls[M][1]> {
    return callPlugin<PluginCalls[M][1]>(this.#client, this.#contract.method(method), request, timeoutMs, signal);
  }
}

/** Of two with one id the last counts; those without an id, and more than can be meant, do not. */
function devicesOf({ devices }: ListAndWatchResponse): Device[] {
  const known = new Map(devices.slice(0, maxDevices).filter(({ ID }) => ID !== '').map(({ ID, health, topology }) => [
    ID, { id: ID, healthy: health === 'Healthy', numaNodes: (topology?.nodes ?? []).map((node) => node.ID).filter((id) => id >= 0) },
  ]));
  return [...known.values()];
}

function partsOf({ envs, mounts, devices, annotations, cdiDevices }: ContainerAllocateResponse): ContainerParts {
  return {
    env: envs, annotations,
    mounts: mounts.map(({ containerPath, hostPath, readOnly }) => ({ containerPath, hostPath, readOnly })),
    devices: devices.map(({ containerPath, hostPath, permissions }) => ({ containerPath, hostPath, permissions: permissions || 'mrw' })),
    cdiDevices: cdiDevices.map(({ name }) => name),
  };
}
