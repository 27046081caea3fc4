import { createReadStream } from 'node:fs';
import { readArchive } from '#common/backup/archive.ts';
import { writeBackupFile } from '#common/backup/file.ts';
import { seal } from '#common/backup/seal.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { backupSecret, secretFlags } from '../backup-secret.ts';
import { RestClient } from '../client.ts';
import { copyOut } from '../copy-out.ts';
import { clusterFlags, helpText, parseFlags, refuse } from '../flags.ts';
import { readConnection } from '../kubeconfig.ts';
import type { Command, Io } from '../types.ts';

const flags = [...clusterFlags, ...secretFlags];

export const command: Command = {
  help: () => helpText(
    'backup [FILE] | check FILE [flags]',
    'Write the whole cluster to a file: every object, certificates and keys, tokens, configuration; "-" is standard output. The control plane goes on meanwhile. "check" reads a backup to its end and says what it is of. See also cleat restore, and --backup-period of the control plane.',
    flags, ['cleat backup', 'cleat backup /mnt/usb/cluster.backup --key-file=/root/backup.key', 'cleat backup check cluster.backup'],
  ),
  async run(argv, io) {
    const parsed = parseFlags('backup', flags, argv);
    const [first, ...more] = parsed.args;
    if (first === 'check') {
      const [file] = more;
      if (file === undefined || more.length > 1) throw refuse('backup', 'name one backup to check');
      return check(file, await backupSecret('backup', parsed, io, false), io);
    }
    if (more.length > 0) throw refuse('backup', `unexpected arguments: ${more.join(' ')}`);
    const secret = await backupSecret('backup', parsed, io, true);
    const client = new RestClient(await readConnection(parsed, io.env), io.err);
    try {
      const answer = await client.open('GET', '/cleat/v1/backup', { accept: '*/*', signal: io.interrupted });
      const source = secret === undefined ? answer as AsyncIterable<Uint8Array> : seal(answer, secret);
      if (first === '-') await copyOut(source, io.out.bind(io));
      else {
        const file = first ?? `cleat-${new Date().toISOString().slice(0, 19).replaceAll(':', '')}Z.backup`;
        const bytes = await toFile(source, file);
        io.out(`${file} ${(bytes / 1e6).toFixed(1)} MB\n`);
        if (secret === undefined) io.err(`It holds the cluster's keys in the clear: whoever reads it owns the cluster. --key-file or --passphrase seals it.\n`);
      }
    } finally {
      client.close();
    }
    return 0;
  },
};

/** Checked before it takes its name: a file that is there is a backup that can be restored. */
async function toFile(source: AsyncIterable<Uint8Array>, path: string): Promise<number> {
  try {
    return await writeBackupFile(source, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'EACCES' || code === 'ENOSPC' || code === 'EROFS' || code === 'ENOTDIR') throw new StatusError('BadRequest', `the backup cannot be written to ${path}: ${messageOf(error)}; name another file`, { cause: error });
    throw error;
  }
}

async function check(file: string, secret: Buffer | undefined, io: Io): Promise<number> {
  const { header, records } = await readArchive(createReadStream(file), () => Promise.resolve(secret));
  let rows = 0;
  let files = 0;
  for await (const record of records) if ('row' in record) rows++; else files++;
  io.out(`${file} is whole: made ${header.createdAt} by Cleat ${header.cleatVersion}, revision ${String(header.revision)}, ${String(rows)} rows, ${String(files)} files, CA ${header.caFingerprint.slice(0, 16)}\n`);
  return 0;
}
