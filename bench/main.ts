import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '#common/errors.ts';
import { execOk } from '#common/exec.ts';
import { ratioOf, withinBudget, type Row, type Run } from './row.ts';

/** `npm run bench -- NAME ...` runs these alone; no name runs all. */
const groups: Readonly<Record<string, () => Promise<{ readonly run: Run }>>> = {
  store: () => import('./rows/store.ts'),
  api: () => import('./rows/api.ts'),
  parts: () => import('./rows/parts.ts'),
  scheduler: () => import('./rows/scheduler.ts'),
  proxy: () => import('./rows/proxy.ts'),
  dns: () => import('./rows/dns.ts'),
  ingress: () => import('./rows/ingress.ts'),
  network: () => import('./rows/network.ts'),
  host: () => import('./rows/host.ts'),
  agent: () => import('./rows/agent.ts'),
  runtimes: () => import('./rows/runtimes.ts'),
  images: () => import('./rows/images.ts'),
  fleet: () => import('./rows/fleet.ts'),
  install: () => import('./rows/install.ts'),
};

const args = process.argv.slice(2);
const flags = new Set(args.filter((arg) => arg.startsWith('-')));
const names = args.filter((arg) => !arg.startsWith('-'));
const unknown = [...names.filter((name) => !Object.hasOwn(groups, name)), ...[...flags].filter((flag) => flag !== '--json' && flag !== '--quick')];
if (unknown.length > 0) {
  console.error(`usage: npm run bench -- [--quick] [--json] [${Object.keys(groups).join('|')} ...]\nunknown: ${unknown.join(' ')}`);
  process.exit(2);
}

let built: Promise<string> | undefined;
const executable = (): Promise<string> => built ??= build();

const all: Row[] = [];
let failed = false;
for (const [name, load] of Object.entries(groups)) {
  if (names.length > 0 && !names.includes(name)) continue;
  console.error(`measuring: ${name}`);
  try {
    for await (const row of await (await load()).run({ quick: flags.has('--quick'), executable })) {
      all.push(row);
      if (!flags.has('--json')) console.log(line(row));
    }
  } catch (error) {
    failed = true;
    console.error(`${name} cannot be measured: ${error instanceof Error ? (error.stack ?? error.message) : messageOf(error)}`);
  }
}
if (flags.has('--json')) console.log(JSON.stringify(all.map((row) => ({ ...row, ratio: ratioOf(row), withinBudget: withinBudget(row) })), null, 2));
const missed = all.filter((row) => withinBudget(row) === false);
console.error(`${String(all.length)} rows, ${String(missed.length)} over budget${missed.length > 0 ? `: ${missed.map((row) => row.name).join('; ')}` : ''}`);
process.exitCode = failed || missed.length > 0 ? 1 : 0;

async function build(): Promise<string> {
  const dist = mkdtempSync(join(tmpdir(), 'cleat-bench-dist-'));
  process.once('exit', () => { rmSync(dist, { recursive: true, force: true }); });
  await execOk(process.execPath, [join(import.meta.dirname, '../install/build/build.ts'), '--out', dist, '--compression', '1'], { timeoutMs: 600_000 });
  return join(dist, `cleat-linux-${process.arch}`);
}

function line(row: Row): string {
  const verdict = withinBudget(row);
  const ratio = ratioOf(row);
  const parts = [
    `${verdict === undefined ? '    ' : verdict ? 'ok  ' : 'MISS'} ${row.name}: ${String(row.value)} ${row.unit}`,
    ...(row.peer ? [`${row.peer.name}: ${String(row.peer.value)} ${row.unit}`] : []),
    ...(ratio === undefined ? [] : [`ratio ${ratio.toFixed(2)}`]),
    ...(row.budget ? [`budget ${row.budget.at === 'most' ? '≤' : '≥'} ${String(row.budget.bound)}${row.budget.of === 'ratio' ? ' ×' : ` ${row.unit}`}`] : []),
  ];
  return parts.join(' | ') + (row.note === undefined ? '' : `\n       (${row.note})`);
}
