import { messageOf } from '#common/errors.ts';

const words: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory', EACCES: 'permission denied', EPERM: 'operation not permitted', EISDIR: 'it is a folder', ENOTDIR: 'a part of the path is no folder', EROFS: 'the file system is read-only',
  ENOSPC: 'no space left on the disk', EEXIST: 'it is there already', ELOOP: 'too many symbolic links', ENAMETOOLONG: 'the name is too long', EBUSY: 'it is in use', EIO: 'the disk cannot be read or written (input/output error)',
};

/** Why a file could not be read or written, in words. */
export function fileTrouble(error: unknown): string {
  return words[(error as NodeJS.ErrnoException | undefined)?.code ?? ''] ?? messageOf(error);
}

/** What is wrong with YAML, in one line. */
export function yamlTrouble(error: unknown): string {
  const [line = ''] = messageOf(error).split('\n');
  return line.replace(/; please use YAML\.\w+\(\)/, ', and one is expected').replace(/:$/, '');
}
