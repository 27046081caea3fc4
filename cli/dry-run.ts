import { refuse, type Flag, type ParsedFlags } from './flags.ts';

export const dryRunFlag: Flag = { name: 'dry-run', type: 'string', optional: 'client', default: 'none', description: 'none, client: say what would be done, or server: ask the server, change nothing' };

const suffixes = { none: '', client: ' (dry run)', server: ' (server dry run)' } as const;

/** What `--dry-run` asks for, and what is said after each change because of it. */
export function dryRunOf(command: string, parsed: ParsedFlags): { readonly mode: keyof typeof suffixes; readonly suffix: string } {
  const mode = parsed.string('dry-run') ?? 'none';
  if (!Object.hasOwn(suffixes, mode)) throw refuse(command, `Invalid dry-run value (${mode}). Must be "none", "server", or "client".`);
  return { mode: mode as keyof typeof suffixes, suffix: suffixes[mode as keyof typeof suffixes] };
}
