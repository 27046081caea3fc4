import { readFile, stat } from 'node:fs/promises';

/** The process that holds a POSIX lock on the file, as LevelDB does; undefined when nobody does, or there is no such file. Source: proc(5), /proc/locks. */
export async function lockHolder(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (!found) return undefined;
  const locks = await readFile('/proc/locks', 'utf8');
  return locks.split('\n').map((line) => line.trim().split(/\s+/)).find((fields) => fields[1] === 'POSIX' && fields[5]?.endsWith(`:${String(found.ino)}`))?.[4];
}
