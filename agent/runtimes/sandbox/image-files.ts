import { constants } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { StatusError } from '#common/errors.ts';
import type { OciDevice, OciUser } from './oci-types.ts';

const maxFileBytes = 1 << 20;

export interface UserWish {
  /** As the image says it: `user`, `user:group`, numbers or names; empty for root. */
  readonly image: string;
  readonly runAsUser: number | undefined;
  readonly runAsUserName: string | undefined;
  readonly runAsGroup: number | undefined;
  readonly supplementalGroups: readonly number[];
  /** Memberships in the image's /etc/group do not count. */
  readonly strictGroups: boolean;
}

/** Whom a container runs as, with the groups that its image's own files give that user. Rejects names that the image does not know. */
export async function userOf(rootfs: string, wish: UserWish): Promise<OciUser> {
  const [imageUser = '', imageGroup = ''] = wish.image.split(':');
  const asked = wish.runAsUser === undefined ? wish.runAsUserName ?? imageUser : String(wish.runAsUser);
  const passwd = (await textOf(rootfs, 'passwd')).map(([name, , uid, gid]) => ({ name, uid: Number(uid), gid: Number(gid) }));
  const entry = asked === '' ? passwd.find(({ uid }) => uid === 0) : passwd.find(({ name, uid }) => name === asked || (/^\d+$/.test(asked) && uid === Number(asked)));
  if (!entry && !/^\d*$/.test(asked)) throw new StatusError('Invalid', `the image's /etc/passwd has no user ${JSON.stringify(asked)}; set runAsUser to a number`);
  const groups = (await textOf(rootfs, 'group')).map(([name, , gid, members = '']) => ({ name, gid: Number(gid), members: members.split(',') }));
  const named = wish.runAsUser === undefined && wish.runAsUserName === undefined ? imageGroup : '';
  const group = /^\d+$/.test(named) ? Number(named) : groups.find(({ name }) => name === named)?.gid;
  if (named !== '' && group === undefined) throw new StatusError('Invalid', `the image's /etc/group has no group ${JSON.stringify(named)}; set runAsGroup to a number`);
  const gid = wish.runAsGroup ?? group ?? entry?.gid ?? 0;
  const memberOf = entry && !wish.strictGroups ? groups.filter(({ members }) => members.includes(entry.name ?? '')).map((g) => g.gid) : [];
  return { uid: entry?.uid ?? Number(asked || 0), gid, additionalGids: [...new Set([gid, ...memberOf, ...wish.supplementalGroups])] };
}

/** Lines of a file in the image's /etc, in fields. What an image puts there instead of a plain file is not followed. */
async function textOf(rootfs: string, name: string): Promise<string[][]> {
  let file;
  try {
    file = await open(join(rootfs, 'etc', name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return [];
  }
  try {
    if (!(await file.stat()).isFile()) return [];
    const { buffer, bytesRead } = await file.read(Buffer.alloc(maxFileBytes), 0, maxFileBytes, 0);
    return buffer.toString('utf8', 0, bytesRead).split('\n').map((line) => line.split(':')).filter((fields) => fields.length > 2);
  } finally {
    await file.close();
  }
}

/** Not of the host's, but made anew in every container. */
const ownDevices = new Set(['pts', 'shm', 'mqueue', 'fd', 'console', 'ptmx', 'stdin', 'stdout', 'stderr', 'null', 'zero', 'full', 'tty', 'random', 'urandom', 'core', 'hugepages']);

/** All devices of this host, for containers that may do everything. */
export async function hostDevices(dir = '/dev'): Promise<OciDevice[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => []);
  const found = await Promise.all(entries.map(async (entry): Promise<OciDevice[]> => {
    const path = join(dir, entry.name);
    if (dir === '/dev' && ownDevices.has(entry.name)) return [];
    if (entry.isDirectory()) return hostDevices(path);
    if (!entry.isCharacterDevice() && !entry.isBlockDevice()) return [];
    const { rdev, mode, uid, gid } = await stat(path);
    return [{ path, type: entry.isBlockDevice() ? 'b' : 'c', ...numbersOf(rdev), fileMode: mode & 0o7777, uid, gid }];
  }));
  return found.flat();
}

/** One device of the host under another name, or all in a folder; a symbolic link stands for what it leads to. Rejects with `NotFound` what is not there. */
export async function deviceAt(hostPath: string, containerPath: string): Promise<OciDevice[]> {
  const found = await stat(hostPath).catch((error: unknown) => { throw new StatusError('NotFound', `device ${hostPath} is not there`, { cause: error }); });
  if (found.isDirectory()) return (await hostDevices(hostPath)).map((device) => ({ ...device, path: join(containerPath, relative(hostPath, device.path)) }));
  if (!found.isCharacterDevice() && !found.isBlockDevice()) throw new StatusError('Invalid', `${hostPath} is not a device`);
  return [{ path: containerPath, type: found.isBlockDevice() ? 'b' : 'c', ...numbersOf(found.rdev), fileMode: found.mode & 0o7777, uid: found.uid, gid: found.gid }];
}

/** As makedev(3) puts them together. */
function numbersOf(rdev: number): { major: number; minor: number } {
  const bits = BigInt(rdev);
  return { major: Number(((bits >> 8n) & 0xfffn) | ((bits >> 32n) & ~0xfffn)), minor: Number((bits & 0xffn) | ((bits >> 12n) & ~0xffn)) };
}
