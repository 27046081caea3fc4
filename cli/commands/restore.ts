import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { filesElsewhere, placeElsewhere, readArchive } from '#common/backup/archive.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import { prepareFolder } from '#common/folder.ts';
import { createLog } from '#common/log.ts';
import { backupSecret, secretFlags } from '../backup-secret.ts';
import { fileTrouble } from '../file-trouble.ts';
import { helpText, parseFlags, refuse, type Flag } from '../flags.ts';
import { configFile } from '../serve.ts';
import type { Command, Io } from '../types.ts';

const flags: readonly Flag[] = [
  { name: 'state-dir', type: 'string', default: '/var/lib/cleat', description: 'where all state is kept' },
  { name: 'config', type: 'string', description: 'configuration file of the control plane, written when it is not there; where the backup has it when not given' },
  { name: 'force', type: 'bool', description: 'put the backup in the place of the cluster that is there, which is kept beside it' },
  ...secretFlags,
];

/** The units read their own files, and `cleat up` another; a backup names the one it was made with. */
const unitFile = '/etc/cleat/controlplane.yaml';

export const command: Command = {
  help: () => helpText(
    'restore FILE [flags]',
    'Make this host the control plane that a backup is of; "-" is standard input. No control plane may run here meanwhile. Agents find it with the keys that they have: at the old address, at one that --further-addresses told them, and on any host of the fleet; elsewhere once "cleat agent --server" names it.',
    flags, ['cleat restore cluster.backup', 'cleat restore cluster.backup --key-file=/root/backup.key --force'],
  ),
  async run(argv, io) {
    const parsed = parseFlags('restore', flags, argv);
    const [file, ...more] = parsed.args;
    if (file === undefined || more.length > 0) throw refuse('restore', 'name one backup');
    const stateDir = parsed.string('state-dir') ?? '';
    if (stateDir === '') throw refuse('restore', '--state-dir must name a directory');
    const secret = await backupSecret('restore', parsed, io, false);
    const archive = await readArchive(await source(file, io), () => Promise.resolve(secret)).catch((error: unknown) => {
      if (isStatus(error)) throw new StatusError(error.code, `${file === '-' ? 'standard input' : file}: ${error.message}`, { cause: error });
      throw unreadable(file, error);
    });
    await prepareFolder(stateDir, 'state-dir', 0o711);
    const { ControlPlane } = await import('#controlplane/main.ts');
    const config = parsed.string('config') ?? (archive.header.configFile || configFile);
    const missing = [...filesElsewhere(archive.header).map((path) => placeElsewhere(path, config)), config].filter((path) => !existsSync(path));
    if (missing.length > 0) io.out(`The backup brings files that are not here, and that will be written:\n${missing.map((path) => `  ${path}\n`).join('')}`);
    const { keys, kept, written, differing } = await ControlPlane.restore(createLog('warn'), archive, { stateDir, force: parsed.bool('force'), configFile: config });
    io.out(`Restored the cluster of ${archive.header.createdAt}: ${String(keys)} objects\n`);
    if (kept !== undefined) io.out(`What was here before is kept in ${kept}\n`);
    for (const path of written) io.out(`Wrote ${path}\n`);
    if (differing.length > 0) io.out(`The cluster had these settings; see that ${config} has them:\n${differing.map((line) => `  ${line}\n`).join('')}`);
    io.out(config === unitFile && existsSync('/etc/systemd/system/cleat-controlplane.service') ? 'Start it: systemctl start cleat-controlplane\n' : 'Start it as it was started before: cleat up, or cleat controlplane\n');
    return 0;
  },
};

async function source(file: string, io: Io): Promise<AsyncIterable<Uint8Array>> {
  if (file === '-') return io.stdin as AsyncIterable<Uint8Array>;
  try {
    return (await open(file, 'r')).createReadStream();
  } catch (error) {
    throw unreadable(file, error);
  }
}

function unreadable(file: string, error: unknown): StatusError {
  return new StatusError('BadRequest', `the backup ${file} cannot be read: ${fileTrouble(error)}`, { cause: error });
}
