import type { Manifest } from '../manifests.ts';

export type Raw = Readonly<Record<string, unknown>>;

/** A compose file, read and with its variables put in. */
export interface Project {
  readonly name: string;
  /** What relative paths are below. */
  readonly folder: string;
  readonly file: Raw;
}

/** What the translation may read of the host that the file is on. */
export interface Files {
  /** Rejects with a StatusError when there is no such file. */
  text(path: string): string;
  isFile(path: string): boolean;
  /** Variables of the shell, which `environment: [NAME]` takes its values from. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** A key that could not be honoured, or not quite. */
export interface Note { readonly where: string; readonly what: string }

export interface Options {
  /** Size of claims: a compose file names none. */
  readonly volumeSize: string;
  readonly profiles: readonly string[];
}

export interface Translation { readonly objects: readonly Manifest[]; readonly notes: readonly Note[] }
