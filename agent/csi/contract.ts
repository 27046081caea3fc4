import { Client, credentials, type MethodDefinition } from '@grpc/grpc-js';
import { loadContract } from '#proto/load.ts';
import { callPlugin } from '#agent/plugin-call.ts';

/** The messages of `pluginregistration/api.proto` and `csi/csi.proto` that are spoken here. */
export interface PluginInfo { readonly type: string; readonly name: string; readonly endpoint: string; readonly supportedVersions: readonly string[] }
export interface NodeInfo { readonly nodeId: string; readonly maxVolumesPerNode: number; readonly accessibleTopology: { readonly segments: Readonly<Record<string, string>> } | null }
export interface NodeCapabilities { readonly capabilities: readonly { readonly rpc?: { readonly type: string } | null }[] }
type Strings = Readonly<Record<string, string>>;
type Nothing = Record<never, never>;

export interface VolumeCapability {
  readonly block?: Nothing;
  readonly mount?: { readonly fsType: string; readonly mountFlags: readonly string[]; readonly volumeMountGroup: string };
  readonly accessMode: { readonly mode: string };
}

export interface VolumeStats {
  readonly usage: readonly { readonly available: number; readonly total: number; readonly used: number; readonly unit: string }[];
  readonly volumeCondition: { readonly abnormal: boolean; readonly message: string } | null;
}

/** What is asked of drivers, and what they answer. */
export interface CsiCalls {
  readonly GetInfo: readonly [Nothing, PluginInfo];
  readonly NotifyRegistrationStatus: readonly [{ readonly pluginRegistered: boolean; readonly error: string }, Nothing];
  readonly NodeGetInfo: readonly [Nothing, NodeInfo];
  readonly NodeGetCapabilities: readonly [Nothing, NodeCapabilities];
  readonly NodeStageVolume: readonly [
    { readonly volumeId: string; readonly publishContext: Strings; readonly stagingTargetPath: string; readonly volumeCapability: VolumeCapability; readonly secrets: Strings; readonly volumeContext: Strings }, Nothing];
  readonly NodeUnstageVolume: readonly [{ readonly volumeId: string; readonly stagingTargetPath: string }, Nothing];
  readonly NodePublishVolume: readonly [
    { readonly volumeId: string; readonly publishContext: Strings; readonly stagingTargetPath: string; readonly targetPath: string; readonly volumeCapability: VolumeCapability; readonly readonly: boolean; readonly secrets: Strings; readonly volumeContext: Strings }, Nothing];
  readonly NodeExpandVolume: readonly [
    { readonly volumeId: string; readonly volumePath: string; readonly capacityRange: { readonly requiredBytes: number; readonly limitBytes: number }; readonly stagingTargetPath: string; readonly volumeCapability: VolumeCapability; readonly secrets: Strings }, { readonly capacityBytes: number }];
  readonly NodeGetVolumeStats: readonly [{ readonly volumeId: string; readonly volumePath: string; readonly stagingTargetPath: string }, VolumeStats];
  readonly NodeUnpublishVolume: readonly [{ readonly volumeId: string; readonly targetPath: string }, Nothing];
}

/** Asks whoever serves the socket `endpoint`. */
export type CsiCall = <M extends keyof CsiCalls>(endpoint: string, method: M, request: CsiCalls[M][0], timeoutMs: number, signal: AbortSignal) => Promise<CsiCalls[M][1]>;

/**
 * Parses the contracts: to be called when the first driver comes. A connection lasts as long as its question, as the
 * kubelet has it: a driver that comes back is found at once, and idle ones cost nothing.
 */
export function csiCalls(): CsiCall {
  const load = (file: URL, service: string): Readonly<Record<string, MethodDefinition<object, object>>> => {
    const found = loadContract(file).services.get(service);
    if (!found) throw new Error(`${file.pathname} lacks ${service}`);
    return found;
  };
  const methods = {
    ...load(new URL('../../proto/third_party/pluginregistration/api.proto', import.meta.url), 'pluginregistration.Registration'),
    ...load(new URL('../../proto/third_party/csi/csi.proto', import.meta.url), 'csi.v1.Node'),
  };
  return async (endpoint, method, request, timeoutMs, signal) => {
    const definition = methods[method];
    if (!definition) throw new Error(`the contract lacks ${method}`);
    const client = new Client(`unix:${endpoint}`, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
    try {
      return await callPlugin(client, definition, request, timeoutMs, signal);
    } finally {
      client.close();
    }
  };
}
