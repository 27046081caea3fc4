/** The parts of an OCI runtime configuration that are made here. Source: https://github.com/opencontainers/runtime-spec/blob/main/config.md */
export interface OciMount { readonly destination: string; readonly type: string; readonly source: string; readonly options: readonly string[] }
export interface OciDevice { readonly path: string; readonly type: 'b' | 'c'; readonly major: number; readonly minor: number; readonly fileMode: number; readonly uid: number; readonly gid: number }
export interface OciUser { readonly uid: number; readonly gid: number; readonly additionalGids: readonly number[] }

/** What an image says about its programs. Source: https://github.com/opencontainers/image-spec/blob/main/config.md */
export interface ImageConfig {
  readonly User?: string;
  readonly Env?: readonly string[] | null;
  readonly Entrypoint?: readonly string[] | null;
  readonly Cmd?: readonly string[] | null;
  readonly WorkingDir?: string;
  readonly StopSignal?: string;
}
