import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import { loadContract } from '#proto/load.ts';

/** The messages of `deviceplugin/api.proto` that are spoken here. */
export interface RegisterRequest { readonly version: string; readonly endpoint: string; readonly resourceName: string; readonly options: PluginOptions | null }
export interface PluginOptions { readonly preStartRequired: boolean; readonly getPreferredAllocationAvailable: boolean }
export interface ListAndWatchResponse { readonly devices: readonly { readonly ID: string; readonly health: string; readonly topology: { readonly nodes: readonly { readonly ID: number }[] } | null }[] }
export interface ContainerAllocateResponse {
  readonly envs: Readonly<Record<string, string>>;
  readonly mounts: readonly { readonly containerPath: string; readonly hostPath: string; readonly readOnly: boolean }[];
  readonly devices: readonly { readonly containerPath: string; readonly hostPath: string; readonly permissions: string }[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly cdiDevices: readonly { readonly name: string }[];
}

/** Unary calls to a plugin. */
export interface PluginCalls {
  readonly GetDevicePluginOptions: readonly [Record<never, never>, PluginOptions];
  readonly GetPreferredAllocation: readonly [
    { readonly containerRequests: readonly { readonly availableDeviceIDs: readonly string[]; readonly mustIncludeDeviceIDs: readonly string[]; readonly allocationSize: number }[] },
    { readonly containerResponses: readonly { readonly deviceIDs: readonly string[] }[] },
  ];
  readonly Allocate: readonly [{ readonly containerRequests: readonly { readonly devicesIds: readonly string[] }[] }, { readonly containerResponses: readonly ContainerAllocateResponse[] }];
  readonly PreStartContainer: readonly [{ readonly devicesIds: readonly string[] }, Record<never, never>];
}

export interface PluginContract {
  readonly registration: ServiceDefinition;
  method(name: keyof PluginCalls | 'ListAndWatch'): MethodDefinition<object, object>;
}

/** Parsed when the first plugin comes. */
export function loadPluginContract(): PluginContract {
  const { services } = loadContract(new URL('../../../proto/third_party/deviceplugin/api.proto', import.meta.url));
  const registration = services.get('v1beta1.Registration');
  const plugin = services.get('v1beta1.DevicePlugin');
  if (!registration || !plugin) throw new Error('the device plugin contract lacks its services');
  return {
    registration,
    method: (name) => {
      const found = plugin[name];
      if (!found) throw new Error(`the device plugin contract lacks ${name}`);
      return found;
    },
  };
}
