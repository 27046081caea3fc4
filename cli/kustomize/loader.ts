import { readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { messageOf } from '#common/errors.ts';
import { readUrl } from '../manifests.ts';
import { refuse } from './refuse.ts';

/** A file that could be read but not understood is no folder, either. */
export class MalformedFile extends Error {}

/** Reads what a kustomization names: files in or below its folder, and other folders that do not hold it. */
export class Loader {
  readonly root: string;
  readonly #above: Loader | undefined;

  private constructor(root: string, above: Loader | undefined) {
    this.root = root;
    this.#above = above;
  }

  static at(path: string): Loader {
    if (isGitRemote(path)) throw gitRefused(path);
    try {
      return new Loader(folder(resolve(path)), undefined);
    } catch (error) {
      throw refuse(`must build at directory: not a valid directory: ${messageOf(error)}`);
    }
  }

  /** Another kustomization, below this one in the chain of who names whom. */
  enter(path: string): Loader {
    if (path === '') throw refuse('new root cannot be empty');
    if (isGitRemote(path)) throw gitRefused(path);
    if (isAbsolute(path)) throw refuse(`new root '${path}' cannot be absolute`);
    let root: string;
    try {
      root = folder(join(this.root, path));
    } catch (error) {
      throw refuse(`must build at directory: ${messageOf(error)}`);
    }
    for (let visited: Loader | undefined = this as Loader; visited !== undefined; visited = visited.#above) {
      if (isWithin(visited.root, root)) throw refuse(`cycle detected: candidate root '${root}' contains visited root '${visited.root}'`);
    }
    return new Loader(root, this);
  }

  /** The bytes of a file, or of what a URL gives. */
  async read(path: string): Promise<Buffer> {
    if (/^https?:\/\//.test(path)) {
      if (isGitRemote(path)) throw gitRefused(path);
      return readUrl(path);
    }
    return readFileSync(this.#file(path));
  }

  /** Undefined where there is no such file. */
  readOptional(name: string): string | undefined {
    const path = join(this.root, name);
    return statSync(path, { throwIfNoEntry: false })?.isFile() === true ? readFileSync(path, 'utf8') : undefined;
  }

  #file(path: string): string {
    const wanted = isAbsolute(path) ? path : join(this.root, path);
    const real = realPath(wanted);
    if (statSync(real).isDirectory()) throw refuse(`'${real}' must resolve to a file`);
    if (!isWithin(dirname(real), this.root)) throw refuse(`security; file '${real}' is not in or below '${this.root}'`);
    return real;
  }
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === '/' ? '/' : `${folder}/`);
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw refuse(`evalsymlink failure on '${path}' : lstat ${path}: ${code === 'ENOENT' ? 'no such file or directory' : code === 'ENOTDIR' ? 'not a directory' : messageOf(error)}`);
  }
}

function folder(path: string): string {
  let real: string;
  try {
    real = realPath(path);
  } catch (error) {
    throw refuse(`not a valid directory: ${messageOf(error)}`);
  }
  if (!statSync(real).isDirectory()) throw refuse(`'${path}': file is not directory`);
  return real;
}

function isGitRemote(path: string): boolean {
  return /^(?:git::|git@|(?:git\+)?ssh:|git:|file:|oci:|github\.com[/:]|gh:)/.test(path) || /\.git(?:$|[/?])/.test(path) && /^[\w.+-]+(?::|@|\.[a-z]+[/:])/.test(path)
    || /^https?:/.test(path) && (/[?&]ref=|[^:]\/\//.test(path));
}

function gitRefused(path: string): Error {
  return refuse(`'${path}' is a git repository, which cleat does not fetch: clone it, and name the folder in place of the URL`);
}
