import type { ImageUser } from './types.ts';

/** Of an image's `User`: `1000`, `1000:1000`, `nobody`, or nothing, which is root. */
export function imageUserOf(user: string): ImageUser {
  const name = user.split(':')[0] ?? '';
  if (name === '') return { uid: 0, name: '' };
  return /^\d+$/.test(name) ? { uid: Number(name), name: '' } : { name };
}
