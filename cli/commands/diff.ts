import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { matchesLabels, parseLabelSelector } from '#api/meta/selectors.ts';
import { exec } from '#common/exec.ts';
import { applyManifest } from '../apply.ts';
import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { errorText } from '../error-text.ts';
import { refuse, type Flag } from '../flags.ts';
import { pathOf, resolveKind } from '../resources.ts';
import { fileFlags, readFiles } from '../targets.ts';

const flags: readonly Flag[] = [
  ...fileFlags,
  { name: 'selector', short: 'l', type: 'string', description: 'only objects with these labels' },
  { name: 'server-side', type: 'bool', description: 'let the server merge, by who owns which field' },
  { name: 'force-conflicts', type: 'bool', description: 'with --server-side: as if fields that others own were taken over' },
  { name: 'field-manager', type: 'string', default: 'kubectl', description: 'with --server-side: name under which fields are owned' },
  { name: 'show-managed-fields', type: 'bool', description: 'compare metadata.managedFields, too' },
];
const [same, different, failed] = [0, 1, 2];

type Json = Record<string, unknown>;

export const command = clusterCommand({
  name: 'diff', usage: 'diff -f FILE [flags]', flags,
  summary: 'Show what apply would change, by diff -u, or by the program of KUBECTL_EXTERNAL_DIFF. Exit code: 0 when nothing differs, 1 when something does, more when it failed. Values of Secrets are not shown.',
  examples: ['cleat diff -f web.yaml', 'KUBECTL_EXTERNAL_DIFF="colordiff -u" cleat diff -f web.yaml'],
  async run(invocation) {
    try {
      return await diff(invocation);
    } catch (error) {
      if (invocation.io.interrupted.aborted) throw error;
      // 1 means that something differs.
      invocation.io.err(`${errorText(error)}\n`);
      return failed;
    }
  },
});

async function diff(invocation: Invocation): Promise<number> {
  const { parsed, io } = invocation;
  if (parsed.args.length > 0) throw refuse('diff', `unexpected arguments: ${parsed.args.join(' ')}`);
  const folder = mkdtempSync(join(tmpdir(), 'cleat-diff-'));
  try {
    const [live, merged] = ['LIVE', 'MERGED'].map((name) => join(folder, name)) as [string, string];
    for (const path of [live, merged]) mkdirSync(path);
    await writeBoth(invocation, live, merged);
    const [program = 'diff', ...args] = (io.env['KUBECTL_EXTERNAL_DIFF'] || 'diff -u -N').split(/\s+/).filter((word) => word !== '');
    const { exitCode, stdout, stderr } = await exec(program, [...args, live, merged], { timeoutMs: 600_000, maxBytes: 64 << 20, signal: io.interrupted });
    io.out(stdout);
    io.err(stderr);
    return exitCode === same || exitCode === different ? exitCode : failed;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A file for each object as it is and as it would be, as kubectl names them. */
async function writeBoth({ client, parsed, io }: Invocation, live: string, merged: string): Promise<void> {
  const requirements = parseLabelSelector(parsed.string('selector') ?? '');
  const { formatYaml } = await import('../yaml.ts');
  const { namespace } = client.connection;
  const serverSide = parsed.bool('server-side') ? { manager: parsed.string('field-manager') ?? 'kubectl', force: parsed.bool('force-conflicts') } : undefined;
  for (const { manifest, source } of await readFiles('diff', parsed, io)) {
    if (!matchesLabels(requirements, manifest.metadata['labels'] as Record<string, string> | undefined)) continue;
    const type = await resolveKind(client, manifest, source);
    const own = type.namespaced ? (manifest.metadata.namespace ?? namespace) : undefined;
    const now = await client.find<Json>(pathOf(type, own, manifest.metadata.name ?? ''));
    const { object, name } = await applyManifest(client, manifest, { source, namespace, enforceNamespace: parsed.has('namespace'), dryRun: 'server', ...(serverSide && { serverSide }) });
    const then = object as Json;
    keepNote(now, then);
    if (type.kind === 'Secret' && type.group === '') hideValues(now, then);
    const file = [type.group, type.version, type.kind, own ?? '', name].filter((part) => part !== '').join('.').replaceAll('/', '_');
    for (const [folder, value] of [[live, now], [merged, then]] as const) {
      if (value === undefined) continue;
      if (!parsed.bool('show-managed-fields')) delete (value['metadata'] as Json)['managedFields'];
      writeFileSync(join(folder, file), formatYaml(value), { mode: 0o600 });
    }
  }
}

const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';
type Annotated = { metadata?: { annotations?: Record<string, string> } };

/** What apply notes of itself is no difference. */
function keepNote(now: Annotated | undefined, { metadata = {} }: Annotated): void {
  const { annotations } = metadata;
  if (!annotations) return;
  const before = now?.metadata?.annotations?.[lastApplied];
  if (before !== undefined) annotations[lastApplied] = before;
  else delete annotations[lastApplied];
  if (Object.keys(annotations).length === 0 && !now?.metadata?.annotations) delete metadata.annotations;
}

/** That a value differs is told, and not what it is; what was applied last holds it, too. */
function hideValues(now: Json | undefined, then: Json): void {
  const [before, after] = [now?.['data'], then['data']].map((data) => (data ?? {}) as Record<string, string>) as [Record<string, string>, Record<string, string>];
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const differs = key in before && key in after && before[key] !== after[key];
    if (key in before) before[key] = differs ? '*** (before)' : '***';
    if (key in after) after[key] = differs ? '*** (after)' : '***';
  }
  for (const object of [now, then] as (Annotated | undefined)[]) delete object?.metadata?.annotations?.[lastApplied];
}
