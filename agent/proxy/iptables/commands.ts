import { StatusError } from '#common/errors.ts';
import type { Exec } from '#common/exec.ts';
import type { ChainLayout } from './layout.ts';
import { parseSaved, removeText, type PresentTables } from './restore.ts';

/** Seconds to wait for others that change rules at the moment. */
export const lockSeconds = '30';
const transactionTimeoutMs = 60_000;
const maxSavedBytes = 64 << 20;

/** What is there of ours by `command` (`iptables` or `ip6tables`); nothing where the family has no tables. All tables by one command: to start it takes longer than to list them. */
export async function presentChains(exec: Exec, command: string, prefix: string, signal?: AbortSignal): Promise<PresentTables> {
  const { exitCode, stdout } = await exec(`${command}-save`, [], { ...(signal && { signal }), maxBytes: maxSavedBytes });
  return parseSaved(exitCode === 0 ? stdout : '', prefix);
}

/** Resolves with whether there was anything to remove. `jumps`: see `ChainLayout`. */
export async function removeChains(exec: Exec, command: string, prefix: string, signal?: AbortSignal, layout: Pick<ChainLayout, 'jumps'> = {}): Promise<boolean> {
  const text = removeText(await presentChains(exec, command, prefix, signal), { ...layout, chain: (name) => `${prefix}-${name}` });
  if (text !== '') await restore(exec, command, text, signal);
  return text !== '';
}

/** Applies the text, each table at once. */
export async function restore(exec: Exec, command: string, text: string, signal?: AbortSignal): Promise<void> {
  const { exitCode, stderr } = await exec(`${command}-restore`, ['--noflush', '-w', lockSeconds], { input: text, ...(signal && { signal }), timeoutMs: transactionTimeoutMs });
  if (exitCode !== 0) throw new StatusError('InternalError', `${command}-restore refused the rules: ${stderr.trim().slice(0, 1000)}`);
}
