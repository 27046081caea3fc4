/** What is read of the Engine API's answers. Source: https://docs.docker.com/reference/api/engine/ */
export interface ListedContainer {
  readonly Id: string;
  /** Seconds. */
  readonly Created: number;
  readonly State: string;
  /** Bytes of the writable layer; told only when asked for. */
  readonly SizeRw?: number;
  readonly Labels: Readonly<Record<string, string>> | null;
}

export interface InspectedContainer {
  readonly Id: string;
  readonly Created: string;
  /** The image's id. */
  readonly Image: string;
  readonly Config: { readonly Tty: boolean; readonly OpenStdin: boolean; readonly Labels: Readonly<Record<string, string>> | null };
  readonly State: {
    readonly Status: string;
    readonly Running: boolean;
    readonly OOMKilled: boolean;
    readonly Pid: number;
    readonly ExitCode: number;
    readonly Error: string;
    readonly StartedAt: string;
    readonly FinishedAt: string;
  };
  readonly GraphDriver?: Layers;
}

/** Where layers are: `UpperDir` is the last, `LowerDir` those below it, the lowest last. Absent where containerd keeps them. */
interface Layers { readonly Name: string; readonly Data: Readonly<Partial<Record<string, string>>> | null }

export interface InspectedImage {
  readonly Id: string;
  readonly RepoTags: readonly string[] | null;
  readonly RepoDigests: readonly string[] | null;
  readonly Architecture: string;
  readonly Size: number;
  readonly Config: { readonly User?: string } | null;
  readonly GraphDriver?: Layers;
  readonly RootFS?: { readonly Layers?: readonly string[] | null };
}

export interface InspectedExec { readonly Running: boolean; readonly ExitCode: number | null; readonly Pid: number }

export interface EngineVersion { readonly Version: string; readonly ApiVersion: string }

export interface EngineInfo { readonly CgroupDriver: string; readonly DockerRootDir: string; readonly CDISpecDirs?: readonly string[] | null; readonly Runtimes?: Readonly<Record<string, object>> | null }

/** One line of the event stream. */
export interface EngineEvent { readonly Action: string; readonly Actor: { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> | null } | null }

/** One line of what a pull or a load says while it goes on. */
export interface Progress {
  /** Of a layer. */
  readonly id?: string;
  readonly status?: string;
  readonly progressDetail?: { readonly current?: number; readonly total?: number };
  readonly stream?: string;
  readonly error?: string;
  readonly errorDetail?: { readonly message?: string };
}
