import { existsSync } from 'node:fs';
import { copyFile, open, readFile, readlink, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncFolder, writeFileAtomic } from '#common/atomic-file.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { exec } from '#common/exec.ts';
import type { Log } from '#common/log.ts';
import { upgradedBy, whyNotUpgraded } from '#common/upgraded-by.ts';
import { version } from '#common/version.ts';
import { receivedPath, upgradePaths, type Pending } from './paths.ts';
import type { HostAnswer, HostTask } from '#common/host-task.ts';

export interface InstallDeps {
  readonly log: Log;
  readonly nowMs: () => number;
}

export interface InstallConfig {
  readonly stateDir: string;
  /** The file that the agent was started from; undefined when that is no single executable. */
  readonly executable: string | undefined;
  /** Whether systemd starts the agent again when it ends. */
  readonly supervised: boolean;
}

/** How often an executable may end before it has come up. */
const starts = 4;
export const units = ['cleat-controlplane', 'cleat-agent'] as const;

/**
 * Puts the executable that was received in the place of the present one, which is kept, and has systemd begin anew with it. At
 * every moment one of the two is whole in its place; the guard takes the new one back when it does not come up.
 */
export async function install({ log, nowMs }: InstallDeps, { stateDir, executable, supervised }: InstallConfig, task: Extract<HostTask, { task: 'upgrade' }>): Promise<HostAnswer> {
  const by = upgradedBy(executable, supervised);
  if (executable === undefined || by !== 'cleat') throw new StatusError('MethodNotAllowed', whyNotUpgraded[by === 'cleat' ? 'checkout' : by]);
  const paths = upgradePaths(stateDir);
  const received = receivedPath(stateDir, task.sha256);
  if (!existsSync(received)) throw new StatusError('NotFound', 'the executable is not here; it has to be sent first');
  await requireRuns(received, task.version);
  const pending: Pending = { from: version, to: task.version, executable, sinceMs: nowMs(), confirmMs: task.confirmMs };
  await copySynced(executable, paths.previous);
  await rm(paths.failed, { force: true });
  await dismissGuard(stateDir);
  await writeFileAtomic(paths.guard, guardScript(stateDir, executable), 0o755);
  const beside = join(dirname(executable), '.cleat.new');
  try {
    await copySynced(received, beside);
    // From here on the guard counts. Before it the old executable is in its place, which it would leave there.
    await writeFileAtomic(paths.pending, JSON.stringify(pending), 0o600);
    await rename(beside, executable);
  } catch (error) {
    await rm(beside, { force: true }).catch(() => undefined);
    await rm(paths.pending, { force: true });
    throw new StatusError('ServiceUnavailable', `${executable} cannot be replaced: ${messageOf(error)}; is its file system read-only?`, { cause: error });
  }
  await syncFolder(dirname(executable));
  await rm(received, { force: true });
  // Of an upgrade not long ago: while it runs, its name is taken, and its time is too early for this one.
  await exec('systemctl', ['stop', 'cleat-upgrade-guard.timer']).catch(() => undefined);
  // One that starts and then says nothing ends neither here nor there; systemd has no other timer for it. Not on every host.
  await exec('systemd-run', ['--collect', `--on-active=${String(Math.ceil(task.confirmMs / 1000) + 30)}s`, '--unit=cleat-upgrade-guard', '/bin/sh', paths.guard, 'late']).catch(() => undefined);
  log.warn({ from: version, to: task.version }, 'another executable is in place; beginning anew with it');
  return { done: true, message: `${task.version} is in place of ${version}` };
}

/** Has systemd start again what runs from the executable. The containers go on. */
export async function restartUnits(log: Log): Promise<void> {
  for (const unit of units) {
    const { exitCode, stderr } = await exec('systemctl', ['try-restart', '--no-block', unit]);
    if (exitCode !== 0) log.warn({ unit, err: stderr.trim() }, 'systemd does not start a unit again');
  }
}

/** Has systemd start again the units that still run an executable which is no longer there. */
export async function restartStale(log: Log): Promise<void> {
  for (const unit of units) {
    const told = await exec('systemctl', ['show', '-p', 'MainPID', '--value', unit]).catch(() => undefined);
    const pid = Number(told?.stdout.trim() ?? 0);
    if (pid === 0 || pid === process.pid || !(await readlink(`/proc/${String(pid)}/exe`).catch(() => '')).endsWith(' (deleted)')) continue;
    log.warn({ unit }, 'a unit runs another executable than the one that is installed; starting it again');
    await exec('systemctl', ['try-restart', '--no-block', unit]);
  }
}

/** Puts the executable before this one back in its place. */
export async function takeBack(stateDir: string, pending: Pending, why: string): Promise<void> {
  const paths = upgradePaths(stateDir);
  const beside = join(dirname(pending.executable), '.cleat.back');
  await copySynced(paths.previous, beside);
  await writeFileAtomic(paths.failed, `${pending.to}: ${why}\n`, 0o600);
  await rename(beside, pending.executable);
  await rm(paths.pending, { force: true });
  await syncFolder(paths.folder);
}

/** Nothing is to be taken back any more; what was counted must not count for the next upgrade. */
export async function dismissGuard(stateDir: string): Promise<void> {
  const { folder, guard } = upgradePaths(stateDir);
  await rm(guard, { force: true });
  for (const unit of units) await rm(join(folder, `starts.${unit}.service`), { force: true });
}

export async function readPending(stateDir: string): Promise<Pending | undefined> {
  const text = await readFile(upgradePaths(stateDir).pending, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : JSON.parse(text) as Pending;
}

async function requireRuns(path: string, wanted: string): Promise<void> {
  const { exitCode, stdout, stderr } = await exec(path, ['version', '--client'], { timeoutMs: 60_000 });
  if (exitCode !== 0) throw new StatusError('Invalid', `the new executable does not run on this host: ${stderr.trim().slice(0, 500) || `it ended with ${String(exitCode)}`}`);
  if (!stdout.includes(`v${wanted}\n`)) throw new StatusError('Invalid', `the executable says that it is ${stdout.trim()}, and not ${wanted}`);
}

async function copySynced(from: string, to: string): Promise<void> {
  const unfinished = `${to}.unfinished`;
  await copyFile(from, unfinished);
  const file = await open(unfinished, 'r+');
  try {
    await file.chmod(0o755);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(unfinished, to);
  await syncFolder(dirname(to));
}

/** In shell: it must run when the executable does not. Its argument is the unit that starts. */
function guardScript(stateDir: string, executable: string): string {
  const { folder, pending, previous, failed } = upgradePaths(stateDir);
  const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
  return `#!/bin/sh
# Run before each start of Cleat's units while an upgrade has not shown that it works, and once, late, after a while. Counts
# starts; takes the executable back that does not come up.
[ -e ${quoted(pending)} ] || { rm -f ${quoted(folder)}/starts.*; exit 0; }
[ -x ${quoted(previous)} ] || exit 0
why='it did not work in time'
if [ "$1" != late ]; then
  count=${quoted(folder)}/starts.$1
  n=$(cat "$count" 2>/dev/null || echo 0)
  n=$((n + 1))
  echo "$n" >"$count"
  [ "$n" -gt ${String(starts)} ] || exit 0
  why="it ended ${String(starts)} times before it had come up ($1)"
fi
cp -p ${quoted(previous)} ${quoted(`${executable}.back`)} && sync ${quoted(`${executable}.back`)} && mv -f ${quoted(`${executable}.back`)} ${quoted(executable)} || exit 0
echo "$why" >${quoted(failed)}
rm -f ${quoted(pending)} ${quoted(folder)}/starts.*
echo "cleat: the upgrade is taken back: it did not come up" >&2
for unit in ${units.join(' ')}; do [ "$unit.service" = "$1" ] || systemctl try-restart --no-block "$unit"; done
`;
}
