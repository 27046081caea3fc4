import { StatusError } from '#common/errors.ts';
import type { Exec } from '#common/exec.ts';
import { parseSaved, removeText, type Present } from './restore.ts';

/** Seconds to wait for others that change rules at the moment. */
export const lockSeconds = '30';
const transactionTimeoutMs = 60_000;
const maxSavedBytes = 64 << 20;

/** What is there of ours by `command` (`iptables` or `ip6tables`); nothing where the family has no tables. */
export async function presentChains(exec: Exec, command: string, prefix: string, signal?: AbortSignal): Promise<Record<'nat' | 'filter', Present>> {
  const saved = async (table: string): Promise<Present> => {
    const { exitCode, stdout } = await exec(`${command}-save`, ['-t', table], { ...(signal && { signal }), maxBytes: maxSavedBytes });
    return parseSaved(exitCode === 0 ? stdout : '', prefix);
  };
  const [nat, filter] = await Promise.all([saved('nat'), saved('filter')]);
  return { nat, filter };
}

/** Resolves with whether there was anything to remove. */
export async function removeChains(exec: Exec, command: string, prefix: string, signal?: AbortSignal): Promise<boolean> {
  const text = removeText(await presentChains(exec, command, prefix, signal), { chain: (name) => `${prefix}-${name}` });
  if (text !== '') await restore(exec, command, text, signal);
  return text !== '';
}

/** Applies the text, each table at once. */
export async function restore(exec: Exec, command: string, text: string, signal?: AbortSignal): Promise<void> {
  const { exitCode, stderr } = await exec(`${command}-restore`, ['--noflush', '-w', lockSeconds], { input: text, ...(signal && { signal }), timeoutMs: transactionTimeoutMs });
  if (exitCode !== 0) throw new StatusError('InternalError', `${command}-restore refused the Service rules: ${stderr.trim().slice(0, 1000)}`);
}
