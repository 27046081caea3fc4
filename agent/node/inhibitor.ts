import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { isRecord } from '#api/meta/json.ts';
import { exec, pipeCommand } from '#common/exec.ts';
import type { Ledger } from './ledger.ts';

/** systemd runs this host. */
const booted = '/run/systemd/system';
export const logindDropIn = '/etc/systemd/logind.conf.d/90-cleat.conf';

const match = "type='signal',sender='org.freedesktop.login1',interface='org.freedesktop.login1.Manager',member='PrepareForShutdown'";

/** Undefined where systemd can be asked to wait with a shutdown; else why not. */
export async function inhibitorMissing(): Promise<string | undefined> {
  if (!(await stat(booted).catch(() => undefined))) return 'this host was not booted by systemd';
  for (const program of ['systemd-inhibit', 'busctl']) if ((await exec(program, ['--version']).catch(() => undefined))?.exitCode !== 0) return `${program} is not installed`;
  return undefined;
}

/** logind waits 5 s for those who want to finish something, unless it is told otherwise. */
export async function allowDelay(graceMs: number, ledger: Pick<Ledger, 'record'>): Promise<void> {
  const text = `# Written by Cleat, so that pods have time to end: --shutdown-grace-period\n[Login]\nInhibitDelayMaxSec=${String(Math.ceil(graceMs / 1000))}\n`;
  if (await readFile(logindDropIn, 'utf8').catch(() => '') === text) return;
  await ledger.record({ kind: 'directory', target: dirname(logindDropIn), before: await stat(dirname(logindDropIn)).then(() => '', () => null), after: '' });
  await ledger.record({ kind: 'file', target: logindDropIn, before: null, after: text });
  await mkdir(dirname(logindDropIn), { recursive: true, mode: 0o755 });
  await writeFile(logindDropIn, text, { mode: 0o644 });
  await exec('systemctl', ['kill', '--signal=HUP', 'systemd-logind.service']);
}

const held = 'held';

/**
 * Holds the lock that keeps systemd from shutting down, and yields true when it wants to. Yields false when it has
 * thought better of it, and when the lock is had: systemd gives none while it shuts down. Leaving the loop lets go of the lock. Ends when the programs that hold it do.
 */
export async function* preparations(signal: AbortSignal): AsyncGenerator<boolean> {
  const command = pipeCommand('systemd-inhibit', ['--what=shutdown', '--mode=delay', '--who=cleat', '--why=ends pods before the host goes down', 'sh', '-c', `echo ${held}; exec busctl monitor --system --json=short "--match=${match}"`]);
  const end = (): void => { command.kill(); };
  signal.addEventListener('abort', end, { once: true });
  try {
    for await (const line of createInterface({ input: command.stdout })) {
      const going = preparing(line);
      if (going !== undefined) yield going;
    }
  } finally {
    signal.removeEventListener('abort', end);
    end();
  }
}

/** What a line of `busctl monitor` says; undefined for anything else. */
export function preparing(line: string): boolean | undefined {
  if (line === held) return false;
  try {
    const message: unknown = JSON.parse(line);
    const payload = isRecord(message) && message['member'] === 'PrepareForShutdown' ? message['payload'] : undefined;
    const data: unknown = isRecord(payload) ? payload['data'] : undefined;
    const first: unknown = Array.isArray(data) ? data[0] : undefined;
    return typeof first === 'boolean' ? first : undefined;
  } catch {
    return undefined;
  }
}
