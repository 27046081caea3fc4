import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import type { Clock } from '#common/clock.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import { Audit } from './audit.ts';
import { LogFile, type LogFileConfig } from './log-file.ts';
import { defaultPolicy, parsePolicy, type AuditPolicy } from './policy.ts';

export interface AuditConfig extends LogFileConfig {
  /** Empty: the default policy. */
  readonly policyFile: string;
}

/** Opens the log and reads the policy. Rejects with `Invalid` or `Forbidden`, naming the flag that is to be mended. */
export async function openAudit(deps: { readonly clock: Clock; readonly log: Log }, config: AuditConfig): Promise<{ readonly audit: Audit; close(): Promise<void> }> {
  const policy = config.policyFile === '' ? defaultPolicy : await readPolicy(config.policyFile);
  const file = new LogFile(deps, config);
  await file.open().catch((error: unknown) => {
    throw new StatusError('Forbidden', `--audit-log-path ${config.path} cannot be written: ${messageOf(error)}; make its folder, or choose another place`, { cause: error });
  });
  return { audit: new Audit({ clock: deps.clock, log: file }, policy), close: () => file.close() };
}

async function readPolicy(path: string): Promise<AuditPolicy> {
  try {
    return parsePolicy(parse(await readFile(path, 'utf8')));
  } catch (error) {
    throw new StatusError('Invalid', `--audit-policy-file ${path}: ${messageOf(error)}`, { cause: error });
  }
}
