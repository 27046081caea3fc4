import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from './lab/eventually.ts';
import type { LabHost } from './lab/host.ts';

const readme = join(import.meta.dirname, '../../README.md');
const section = /^## Two hosts and a page\n(.*?)^## /ms;

/** What README.md has a newcomer type, and where. */
export interface NewcomerStep { readonly host: 'first' | 'second'; readonly command: string }

/** Every line of the section's shell blocks, by the line before each, which says on which host. */
export function newcomerSteps(text = readFileSync(readme, 'utf8')): NewcomerStep[] {
  const [, words] = section.exec(text) ?? [];
  if (words === undefined) throw new Error('README.md has no section "Two hosts and a page"');
  const steps: NewcomerStep[] = [];
  for (const [, before = '', block = ''] of words.matchAll(/^(.*):\n\n```sh\n((?:.*\n)*?)```$/gm)) {
    const host = /\bon the (first|second) host\b/i.exec(before)?.[1];
    if (host === 'first' || host === 'second') steps.push(...block.trim().split('\n').map((command) => ({ host, command }) as const));
  }
  return steps;
}

export interface NewcomerHosts { readonly first: LabHost; readonly second: LabHost; readonly folder: string }
export interface NewcomerPath { readonly steps: readonly { readonly command: string; readonly ms: number }[]; readonly totalMs: number; readonly pages: readonly string[] }

/**
 * Types what README.md says on two hosts, in the folder with the release; what the first host prints for the second is typed there.
 * The last command is typed again until pods of both hosts have answered it.
 */
export async function followReadme({ first, second, folder }: NewcomerHosts, explain: () => Promise<string>): Promise<NewcomerPath> {
  const type = (on: NewcomerStep['host'], command: string): Promise<string> =>
    (on === 'first' ? first : second).execOk('sh', ['-c', `sudo() { "$@"; }\n${command}`], { cwd: folder, timeoutMs: 180_000 });
  const steps: { command: string; ms: number }[] = [];
  const beganMs = performance.now();
  const all = newcomerSteps();
  let printed = '';
  for (const { host, command } of all.slice(0, -1)) {
    const startedMs = performance.now();
    if (host === 'second') requireAlike(command, printed);
    printed = (await type(host, host === 'second' ? printed : command)).trim();
    steps.push({ command, ms: performance.now() - startedMs });
  }
  const last = all.at(-1);
  if (!last) throw new Error('README.md has a newcomer type nothing');
  const startedMs = performance.now();
  const pages = new Map<string, string>();
  await eventually(async () => {
    const page = (await type(last.host, last.command)).trim();
    const [, pod = ''] = /^Hello from (\S+)/.exec(page) ?? [];
    pages.set((await type('first', `sudo cleat get pod ${pod} -o jsonpath='{.spec.nodeName}'`)).trim(), page);
    return pages.size === 2;
  }, { what: `"${last.command}" to be answered by both hosts`, timeoutMs: 180_000, intervalMs: 200, explain });
  steps.push({ command: last.command, ms: performance.now() - startedMs });
  return { steps, totalMs: performance.now() - beganMs, pages: [...pages.values()] };
}

/** The line that was printed has the words of README.md, with an address and a token of its own. */
function requireAlike(command: string, printed: string): void {
  const pattern = command.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/https:\/\/\S+?:6443/, 'https://\\S+:6443').replace('…', '\\S+');
  if (!new RegExp(`^${pattern}$`).test(printed)) throw new Error(`README.md says that "${command}" is printed, and this was: ${printed}`);
}
