import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeBackupFile } from '#common/backup/file.ts';
import { readKeyFile } from '#common/backup/key-file.ts';
import { seal } from '#common/backup/seal.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import type { Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import type { NodeGateway } from '../apiserver/types.ts';
import { backup, type BackupConfig, type BackupDeps } from './backup.ts';
import { runHostTask } from './host-task.ts';

export interface KeptBackup { readonly path: string; readonly bytes: number }

/** Where the control plane keeps backups of its own. */
export function backupFolder({ settings }: BackupConfig): string {
  return settings.backupDir || join(settings.stateDir, 'backups');
}

/** Writes a backup into the control plane's folder; sealed where the settings name a key file. A file that has its name is whole. */
export async function keepBackup(deps: BackupDeps, config: BackupConfig, prefix: string): Promise<KeptBackup> {
  const folder = backupFolder(config);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `${prefix}-${timeText(deps.nowMs())}.backup`);
  const { backupKeyFile } = config.settings;
  const key = backupKeyFile === '' ? undefined : await readKeyFile(backupKeyFile);
  const plain = await backup(deps, config);
  const bytes = await writeBackupFile(key ? seal(plain, key) : plain, path);
  return { path, bytes };
}

/** `2026-11-21T132100Z`: sorts by time, and every file system takes it. */
function timeText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replaceAll(':', '')}Z`;
}

/** 0 for a name that holds no time. */
function timeOf(name: string): number {
  const [, day = '', hours = '', minutes = '', seconds = ''] = /-(\d{4}-\d\d-\d\d)T(\d\d)(\d\d)(\d\d)Z\.backup$/.exec(name) ?? [];
  return Date.parse(`${day}T${hours}:${minutes}:${seconds}Z`) || 0;
}

export interface DailyBackupsDeps extends BackupDeps {
  readonly nodes: Pick<NodeGateway, 'open'>;
  readonly clock: Clock;
  readonly log: Log;
}

const retryMs = 10 * 60_000;
/** A clock may be set, and a host sleep: what is due is looked up that often. */
const lookMs = 15 * 60_000;

/** A backup every so often, the newest of which are kept, here and, where one is named, on another host. */
export class DailyBackups implements Runnable {
  readonly #deps: DailyBackupsDeps;
  readonly #config: BackupConfig;
  /** The last that the other host has. */
  #sent: string | undefined;

  constructor(deps: DailyBackupsDeps, config: BackupConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  async start(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    while (!signal.aborted) {
      let waitMs = lookMs;
      try {
        await this.#ifDue(signal);
      } catch (error) {
        if (signal.aborted) break;
        log.error({ err: messageOf(error) }, 'the backup that is due could not be made; it is tried again');
        waitMs = retryMs;
      }
      await clock.sleep(Math.min(waitMs, this.#config.settings.backupPeriodMs), signal).catch(() => undefined);
    }
  }

  async #ifDue(signal: AbortSignal): Promise<void> {
    const { backupPeriodMs, backupNode, backupKeep } = this.#config.settings;
    const folder = backupFolder(this.#config);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    // One that lies in the future was made with a wrong clock: it is kept, and stands for none of the others.
    const names = async (): Promise<string[]> => (await readdir(folder)).filter((name) => /^daily-.*\.backup$/.test(name) && timeOf(name) <= this.#deps.nowMs()).sort();
    const newest = (await names()).at(-1);
    const madeMs = newest === undefined ? 0 : timeOf(newest);
    if (this.#deps.nowMs() - madeMs >= backupPeriodMs) {
      const { path, bytes } = await keepBackup(this.#deps, this.#config, 'daily');
      this.#deps.log.info({ path, bytes }, 'backup made');
      for (const name of (await names()).slice(0, -backupKeep)) await rm(join(folder, name), { force: true });
    }
    const toSend = (await names()).at(-1);
    if (backupNode !== '' && toSend !== undefined && toSend !== this.#sent) await this.#send(join(folder, toSend), toSend, signal);
  }

  async #send(path: string, name: string, signal: AbortSignal): Promise<void> {
    const { backupNode, backupKeep } = this.#config.settings;
    const sum = createHash('sha256');
    let bytes = 0;
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      sum.update(chunk);
      bytes += chunk.length;
    }
    const said = await runHostTask(this.#deps.nodes, backupNode, { task: 'receive', purpose: 'backup', name, bytes, sha256: sum.digest('hex'), keep: backupKeep }, { read: () => createReadStream(path) }, signal);
    this.#sent = name;
    this.#deps.log.info({ node: backupNode, said }, 'backup kept on another host');
  }
}

/** Refuses settings that would hand the cluster's keys to whoever reads another host's disk, or seal backups with what opens none. */
export async function checkBackupSettings({ backupNode, backupKeyFile, backupPeriodMs }: BackupConfig['settings']): Promise<void> {
  if (backupKeyFile !== '') await readKeyFile(backupKeyFile);
  if (backupNode === '') return;
  if (backupPeriodMs === 0) throw new StatusError('Invalid', '--backup-node goes with --backup-period: say how often, e.g. 24h');
  if (backupKeyFile === '') throw new StatusError('Invalid', `--backup-node ${backupNode} would keep the cluster's keys in the clear on another host; seal them with --backup-key-file`);
}
