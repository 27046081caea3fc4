import { readFile } from 'node:fs/promises';
import { exec } from '#common/exec.ts';
import { StatusError } from '#common/errors.ts';

/** Runs `ip -batch` (or `bridge -batch`) over the lines; nothing without lines. Rejects with the command's words. */
export async function batch(command: 'ip' | 'bridge', lines: readonly string[], signal: AbortSignal): Promise<void> {
  if (lines.length === 0) return;
  const { exitCode, stderr } = await exec(command, ['-force', '-batch', '-'], { input: `${lines.join('\n')}\n`, signal });
  if (exitCode !== 0) throw new StatusError('InternalError', `${command} refused what the network between hosts needs: ${stderr.trim().slice(0, 500)}`);
}

/** The entries of `ip -j ...` or `bridge -j ...`; none when the command fails, as it does for a device that is not there. */
export async function shown(command: 'ip' | 'bridge', args: readonly string[], signal: AbortSignal): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const { exitCode, stdout } = await exec(command, ['-j', ...args], { signal });
  return exitCode === 0 && stdout.trim() !== '' ? JSON.parse(stdout) as Record<string, unknown>[] : [];
}

/** Largest packet that an interface takes; undefined when it is not there. */
export async function mtuOf(device: string): Promise<number | undefined> {
  const text = await readFile(`/sys/class/net/${device}/mtu`, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : Number(text);
}

/** Commands that give the device the addresses, which are `missing` there; an address is that of this host alone. */
export function addressLines(addresses: readonly string[], device: string): string[] {
  return addresses.map((address) => (address.includes(':') ? `address replace ${address}/128 dev ${device} nodad noprefixroute` : `address replace ${address}/32 dev ${device}`));
}
