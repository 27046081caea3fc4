import { cp, lstat, mkdir, mkdtemp, realpath, rename, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, posix, resolve } from 'node:path';
import { StatusError } from '#common/errors.ts';
import { pipeCommand } from '#common/exec.ts';
import type { RestClient } from '../client.ts';
import { connect } from '../cluster-command.ts';
import { fileTrouble } from '../file-trouble.ts';
import { clusterFlags, helpText, parseFlags, refuse, type Flag } from '../flags.ts';
import { containerOf, findPod, type TargetPod } from '../pod-target.ts';
import { runRemote } from '../remote-command.ts';
import type { Command } from '../types.ts';

const flags: readonly Flag[] = [
  ...clusterFlags,
  { name: 'container', short: 'c', type: 'string', description: 'of this container' },
];

interface Remote { readonly client: RestClient; readonly pod: TargetPod; readonly container: string; readonly path: string; readonly signal: AbortSignal }

export const command: Command = {
  help: () => helpText('cp SOURCE DESTINATION [flags]', 'Copy files and folders from or to a container, which needs tar.', flags, ['cleat cp ./site web-0:/srv', 'cleat cp web-0:/var/log/app.log app.log']),
  async run(argv, io) {
    const parsed = parseFlags('cp', flags, argv);
    const [source = '', destination = '', ...others] = parsed.args;
    const [from, to] = [remoteOf(source), remoteOf(destination)];
    if (others.length > 0 || (from === undefined) === (to === undefined)) throw refuse('cp', 'expected a source and a destination, one of them POD:PATH');
    const client = await connect(parsed, io);
    try {
      const { pod: name, path } = from ?? to ?? { pod: '', path: '' };
      const { pod } = await findPod(client, name);
      const remote = { client, pod, container: containerOf(pod, parsed.string('container'), io), path, signal: io.interrupted };
      await (from ? download(remote, destination) : upload(remote, source));
      return 0;
    } finally {
      client.close();
    }
  },
};

/** `POD:PATH`; undefined for a path of this host. */
function remoteOf(text: string): { readonly pod: string; readonly path: string } | undefined {
  const [, pod = '', path = ''] = /^([^/.:][^:]*):(.+)$/.exec(text) ?? [];
  return pod === '' ? undefined : { pod, path };
}

/** Into the destination where that is a folder, else by its name. */
async function upload(remote: Remote, source: string): Promise<void> {
  const info = await stat(source).catch((error: unknown) => { throw new StatusError('NotFound', `${source} cannot be read: ${fileTrouble(error)}`, { cause: error }); });
  const { client, pod, container, path, signal } = remote;
  // Without `test` in the container the path is taken as it is.
  const isFolder = await runRemote(client, pod, container, ['test', '-d', path], {}, signal).then(({ code }) => code === 0, () => false);
  const target = isFolder ? posix.join(path, basename(resolve(source))) : posix.normalize(path).replace(/(.)\/$/, '$1');
  // A link of the new name makes tar write that name.
  const folder = await mkdtemp(join(tmpdir(), 'cleat-cp-'));
  try {
    const name = posix.basename(target);
    await symlink(await realpath(source), join(folder, name));
    const tar = pipeCommand('tar', info.isDirectory() ? ['-cf', '-', '-C', folder, `./${name}/.`] : ['-chf', '-', '-C', folder, `./${name}`]);
    tar.stdin.end();
    const { code, words } = await runRemote(client, pod, container, ['tar', '-xmf', '-', '-C', posix.dirname(target)], { input: tar.stdout }, signal).finally(() => { tar.kill(); });
    if (code !== 0) throw new StatusError('InternalError', `tar in the container ended with exit code ${String(code)}: ${words.trim()}`);
    await tar.ended;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Unpacked beside the destination, then moved to it: what a container sends lands nowhere else. */
async function download({ client, pod, container, path, signal }: Remote, destination: string): Promise<void> {
  const source = posix.normalize(path).replace(/(.)\/$/, '$1');
  const isFolder = (await stat(destination).catch(() => undefined))?.isDirectory() === true;
  const target = isFolder ? join(destination, posix.basename(source)) : resolve(destination);
  await mkdir(dirname(target), { recursive: true });
  const folder = await mkdtemp(join(dirname(target), '.cleat-cp-'));
  try {
    const tar = pipeCommand('tar', ['-xf', '-', '-C', folder]);
    tar.stdout.resume();
    const { code, words } = await runRemote(client, pod, container, ['tar', '-cf', '-', '-C', posix.dirname(source), posix.basename(source)], { output: tar.stdin }, signal).catch((error: unknown) => { tar.kill(); throw error; });
    if (code !== 0) throw new StatusError('NotFound', `tar in the container ended with exit code ${String(code)}: ${words.trim()}`);
    await tar.ended;
    const arrived = join(folder, posix.basename(source));
    const isMerged = (await lstat(arrived)).isDirectory() && (await lstat(target).catch(() => undefined))?.isDirectory() === true;
    // A folder that was copied before gets what is new. No link that is there already is followed.
    if (isMerged) await cp(arrived, target, { recursive: true, force: true, verbatimSymlinks: true });
    else await rename(arrived, target);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
