import { createReadStream, statSync } from 'node:fs';
import { readArchive, type BackupHeader } from '#common/backup/archive.ts';
import { writeBackupFile } from '#common/backup/file.ts';
import { seal } from '#common/backup/seal.ts';
import { isStatus, messageOf, StatusError } from '#common/errors.ts';
import { backupSecret, secretFlags } from '../backup-secret.ts';
import { connect } from '../cluster-command.ts';
import { copyOut } from '../copy-out.ts';
import { fileTrouble } from '../file-trouble.ts';
import { clusterFlags, helpText, parseFlags, refuse } from '../flags.ts';
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
    const client = await connect(parsed, io);
    try {
      const answer = client.bytes('/cleat/v1/backup');
      const source = secret === undefined ? answer : seal(answer, secret);
      if (first === '-') await copyOut(source, io.out.bind(io));
      else {
        const file = first ?? `cleat-${new Date().toISOString().slice(0, 19).replaceAll(':', '')}Z.backup`;
        const bytes = await toFile(source, file, secret);
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
async function toFile(source: AsyncIterable<Uint8Array>, path: string, secret: Buffer | undefined): Promise<number> {
  try {
    // What takes its place must not have been a device, or a folder.
    if (statSync(path, { throwIfNoEntry: false })?.isFile() === false) throw new Error("it is no file; '-' is standard output");
    return await writeBackupFile(source, path, (unfinished) => contentsOf(unfinished, secret));
  } catch (error) {
    if (isStatus(error, 'Invalid')) throw new StatusError('ServiceUnavailable', `what the server sent is not taken for a backup: ${messageOf(error)}`, { cause: error });
    throw isStatus(error) ? error : new StatusError('BadRequest', `the backup cannot be written to ${path}: ${fileTrouble(error)}; name another file`, { cause: error });
  }
}

/** Reads a backup to its end. */
async function contentsOf(file: string, secret: Buffer | undefined): Promise<{ readonly header: BackupHeader; readonly rows: number; readonly files: number }> {
  const { header, records } = await readArchive(createReadStream(file), () => Promise.resolve(secret));
  let rows = 0;
  let files = 0;
  for await (const record of records) if ('row' in record) rows++; else files++;
  return { header, rows, files };
}

async function check(file: string, secret: Buffer | undefined, io: Io): Promise<number> {
  const { header, rows, files } = await contentsOf(file, secret).catch((error: unknown) => {
    throw isStatus(error) ? new StatusError(error.code, `${file}: ${error.message}`, { cause: error }) : new StatusError('BadRequest', `the backup ${file} cannot be read: ${fileTrouble(error)}`, { cause: error });
  });
  io.out(`${file} is whole: made ${header.createdAt} by Cleat ${header.cleatVersion}, revision ${String(header.revision)}, ${String(rows)} rows, ${String(files)} files, CA ${header.caFingerprint.slice(0, 16)}\n`);
  return 0;
}
