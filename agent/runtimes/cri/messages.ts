/** The CRI messages that the driver reads and writes, as proto/load.ts shapes them: int64 are strings, enums are names. */
export interface Metadata { name: string; uid: string; namespace: string; attempt: number }

export interface ListedSandbox {
  id: string;
  metadata: Metadata | null;
  state: 'SANDBOX_READY' | 'SANDBOX_NOTREADY';
  createdAt: string;
}

export interface ListedContainer {
  id: string;
  podSandboxId: string;
  metadata: { name: string; attempt: number } | null;
  state: ContainerState;
  createdAt: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  image: { image: string } | null;
  imageRef: string;
}

export type ContainerState = 'CONTAINER_CREATED' | 'CONTAINER_RUNNING' | 'CONTAINER_EXITED' | 'CONTAINER_UNKNOWN';

export interface SandboxStatusMessage {
  state: 'SANDBOX_READY' | 'SANDBOX_NOTREADY';
  network: { ip: string; additionalIps: { ip: string }[] } | null;
}

export interface ContainerStatusMessage {
  state: ContainerState;
  startedAt: string;
  finishedAt: string;
  exitCode: number;
  image: { image: string } | null;
  imageRef: string;
  reason: string;
  message: string;
  annotations: Record<string, string>;
  logPath: string;
}

export interface ContainerStatsMessage {
  attributes: { id: string } | null;
  cpu: { usageCoreNanoSeconds: { value: string } | null } | null;
  memory: { workingSetBytes: { value: string } | null } | null;
  writableLayer: { usedBytes: { value: string } | null; inodesUsed: { value: string } | null } | null;
}

/** Of a Status: what runtimes of today say that they can; older ones say nothing. */
export interface ToldFeatures {
  runtimeHandlers: { name: string; features: { recursiveReadOnlyMounts: boolean; userNamespaces: boolean } | null }[];
  features: { supplementalGroupsPolicy: boolean } | null;
}

/** Every unary call: request and response. */
export interface CriCalls {
  Version: [object, { runtimeName: string; runtimeVersion: string }];
  Status: [object, { status: { conditions: { type: string; status: boolean; reason: string; message: string }[] } | null; info: Record<string, string> } & ToldFeatures];
  ListPodSandbox: [{ filter: { labelSelector: Record<string, string> } }, { items: ListedSandbox[] }];
  PodSandboxStatus: [{ podSandboxId: string }, { status: SandboxStatusMessage | null }];
  RunPodSandbox: [{ config: object; runtimeHandler: string }, { podSandboxId: string }];
  StopPodSandbox: [{ podSandboxId: string }, object];
  RemovePodSandbox: [{ podSandboxId: string }, object];
  ListContainers: [{ filter: { labelSelector: Record<string, string> } }, { containers: ListedContainer[] }];
  ContainerStatus: [{ containerId: string; verbose?: boolean }, { status: ContainerStatusMessage | null; info: Record<string, string> }];
  UpdateContainerResources: [{ containerId: string; linux: object }, object];
  CreateContainer: [{ podSandboxId: string; config: object; sandboxConfig: object }, { containerId: string }];
  StartContainer: [{ containerId: string }, object];
  StopContainer: [{ containerId: string; timeout: number }, object];
  RemoveContainer: [{ containerId: string }, object];
  ReopenContainerLog: [{ containerId: string }, object];
  ExecSync: [{ containerId: string; cmd: readonly string[]; timeout: number }, { stdout: Buffer; stderr: Buffer; exitCode: number }];
  Exec: [{ containerId: string; cmd: readonly string[]; stdin: boolean; stdout: boolean; stderr: boolean; tty: boolean }, { url: string }];
  Attach: [{ containerId: string; stdin: boolean; stdout: boolean; stderr: boolean; tty: boolean }, { url: string }];
  PortForward: [{ podSandboxId: string; port: readonly number[] }, { url: string }];
  ListContainerStats: [{ filter: { labelSelector: Record<string, string> } }, { stats: ContainerStatsMessage[] }];
  ListImages: [object, { images: { id: string; repoTags: string[]; repoDigests: string[]; size: string; pinned: boolean }[] }];
  ImageStatus: [{ image: { image: string }; verbose: boolean }, { image: { id: string; repoDigests: string[]; size: string; uid: { value: string } | null; username: string } | null; info: Record<string, string> }];
  PullImage: [{ image: { image: string }; auth?: object }, { imageRef: string }];
  RemoveImage: [{ image: { image: string } }, object];
  ImageFsInfo: [object, { imageFilesystems: { fsId: { mountpoint: string } | null }[] }];
}
