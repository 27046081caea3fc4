import { mkdir, readdir, readlink, rm, rmdir, stat, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Pod } from '#api/gen/types.ts';
import type { Container } from '#agent/runtimes/types.ts';
import { logFileOf, podsDir, type PodPaths } from '../paths.ts';

/** Among a pod's files: where its logs are, if they are elsewhere. With a number behind it where they are in several places. */
const note = '.logs';
const maxNameBytes = 255;
/** As much of a pod's name as every link to a log of it has, however long the others in it are. */
const leastName = 50;

/** Makes the folders that logs of all pods, and links to them, are below. `record` is called before one is made that was not there. */
export async function makeLogFolders(podLogsDir: string, record: (folder: string) => Promise<void>): Promise<void> {
  const make = async (folder: string): Promise<void> => {
    if (await stat(folder).catch(() => undefined)) return;
    if (dirname(folder) !== folder) await make(dirname(folder));
    await record(folder);
    await mkdir(folder, { recursive: true });
  };
  for (const folder of [podLogsDir, linksBeside(podLogsDir)]) await make(folder);
}

/** Makes the folder of a pod's logs. One that is not among the pod's files is noted there, so that it goes with them. */
export async function makeLogFolder({ root, logs }: PodPaths): Promise<void> {
  await mkdir(root, { recursive: true, mode: 0o750 });
  if (logs === root) return;
  const notes = await notesIn(root);
  // First, so that an agent that is killed in between leaves nothing that nobody knows of. Where containers that run have theirs it stays.
  if (!notes.includes(logs)) await symlink(logs, join(root, notes.length === 0 ? note : `${note}.${String(notes.length)}`));
  await mkdir(dirname(logs), { recursive: true });
  await mkdir(logs, { recursive: true, mode: 0o750 });
}

/** Where collectors of logs look first, as on the host of a kubelet: a link for each container, named after the pod and itself. */
export async function linkLog(paths: PodPaths, pod: Pod, container: Pick<Container, 'name' | 'id' | 'attempt'>): Promise<void> {
  if (paths.logs === paths.root) return;
  await mkdir(linksBeside(dirname(paths.logs)), { recursive: true });
  await unlinkLog(paths, pod, container);
  await symlink(join(paths.logs, logFileOf(container.name, container.attempt)), linkOf(paths.logs, pod, container));
}

export async function unlinkLog({ root, logs }: PodPaths, pod: Pod, container: Pick<Container, 'name' | 'id'>): Promise<void> {
  if (logs !== root) await rm(linkOf(logs, pod, container), { force: true });
}

/** Removes a pod's logs from where they are noted to be, with all links to them; resolves with where that was. `root`: the folder of its files. */
export async function removeLogFolder(root: string): Promise<string[]> {
  const places = (await notesIn(root)).filter((logs) => basename(logs) === basename(root));
  const name = basename(root).split('_')[1]?.slice(0, leastName) ?? '';
  for (const logs of places) {
    const links = linksBeside(dirname(logs));
    for (const link of await readdir(links).catch(() => [])) {
      if (link.startsWith(name) && (await readlink(join(links, link)).catch(() => '')).startsWith(`${logs}/`)) await rm(join(links, link), { force: true });
    }
    await rm(logs, { recursive: true, force: true });
  }
  return places;
}

/** The same of all pods; folders that are empty then go, too. */
export async function removeAllLogFolders(stateDir: string): Promise<void> {
  const emptied = new Set<string>();
  for (const name of await readdir(podsDir(stateDir)).catch(() => [])) {
    for (const logs of await removeLogFolder(join(podsDir(stateDir), name))) emptied.add(dirname(logs)).add(linksBeside(dirname(logs)));
  }
  for (const folder of emptied) await rmdir(folder).catch(() => undefined);
}

/** Where the pod's logs are, and were. */
async function notesIn(root: string): Promise<string[]> {
  const names = (await readdir(root).catch(() => [])).filter((name) => name === note || name.startsWith(`${note}.`)).sort();
  return Promise.all(names.map((name) => readlink(join(root, name)).catch(() => '')));
}

function linkOf(logs: string, { metadata: { namespace = '', name = '' } = {} }: Pod, container: Pick<Container, 'name' | 'id'>): string {
  const rest = `_${namespace}_${container.name}-${container.id}.log`;
  return join(linksBeside(dirname(logs)), `${name.slice(0, maxNameBytes - rest.length)}${rest}`);
}

/** `/var/log/containers` for `/var/log/pods`. */
function linksBeside(podLogsDir: string): string {
  return join(dirname(podLogsDir), 'containers');
}
