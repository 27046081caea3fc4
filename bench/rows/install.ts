import { statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execOk } from '#common/exec.ts';
import { eventually } from '#test/support/lab/eventually.ts';
import type { LabHost } from '#test/support/lab/host.ts';
import { createLab } from '#test/support/lab/lab.ts';
import { followReadme } from '#test/support/newcomer.ts';
import { median, type Row, type RunOptions } from '../row.ts';

const root = join(import.meta.dirname, '../..');
const mb = 1e6;

/**
 * What a newcomer meets: the size of what is fetched, the time from the first command of README.md to a page that both hosts serve, and
 * what the executable costs under systemd. Two hosts with systemd; needs root; about two minutes.
 */
export async function* run({ quick }: RunOptions): AsyncGenerator<Row> {
  const rounds = quick ? 5 : 15;
  const dist = await mkdtemp(join(tmpdir(), 'cleat-bench-dist-'));
  const lab = await createLab({ hosts: 2, systemd: true });
  const [first, second] = [lab.host(0), lab.host(1)];
  try {
    await execOk(process.execPath, [join(root, 'install/build/build.ts'), '--out', dist], { timeoutMs: 600_000 });
    const executable = join(dist, `cleat-linux-${process.arch}`);
    yield { name: 'download: the executable, packed', unit: 'MB', value: round(statSync(`${executable}.gz`).size / mb, 1), peer: { name: "Node's own executable, which is inside, unpacked", value: round(statSync(process.execPath).size / mb, 1) }, budget: { at: 'most', of: 'value', bound: 45 } };
    await execOk('cp', ['-r', dist, join(lab.directory, 'dist')]);
    for (const host of lab.hosts) await booted(host);
    const path = await followReadme({ first, second, folder: '/mnt/dist' }, () => Promise.resolve(''));
    yield {
      name: "README's path: two hosts installed, and a page from both, packages there already", unit: 's', value: round(path.totalMs / 1000, 1), budget: { at: 'most', of: 'value', bound: 60 },
      note: path.steps.map(({ command, ms }) => `${command.replace(/^sudo /, '').split(' ').slice(0, 3).join(' ')}: ${String(round(ms / 1000, 1))} s`).join('; '),
    };
    yield { name: "README's path: commands typed", unit: 'commands', value: path.steps.length, budget: { at: 'most', of: 'value', bound: 5 } };
    yield* await memoryRows(first);
    yield* await commandRows(first, rounds);
    yield* await startRows(first, quick ? 3 : 7);
  } finally {
    await lab.destroy();
    await rm(dist, { recursive: true, force: true });
  }
}

async function booted(host: LabHost): Promise<void> {
  await eventually(async () => /running|degraded/.test((await host.exec('systemctl', ['is-system-running'])).stdout), { what: `systemd on ${host.name}`, timeoutMs: 120_000, intervalMs: 200 });
}

/** What the kernel counts for each unit: pages that are the unit's own, and with those of files. The agent's are with its containerd and shims. */
async function memoryRows(host: LabHost): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [unit, bound] of [['cleat-controlplane', 90], ['cleat-agent', undefined]] as const) {
    const text = await host.sh(`for f in /sys/fs/cgroup/memory/system.slice/${unit}.service /sys/fs/cgroup/system.slice/${unit}.service; do [ ! -e $f/memory.stat ] || cat $f/memory.stat $f/memory.usage_in_bytes $f/memory.current 2>/dev/null; done || true`);
    const own = /^(?:total_rss|anon) (\d+)$/m.exec(text)?.[1];
    const all = /^(\d+)$/m.exec(text)?.[1];
    if (own === undefined || all === undefined) throw new Error(`no memory accounting for ${unit}`);
    rows.push({ name: `memory under systemd (cgroup, without files' pages): ${unit}.service`, unit: 'MB', value: round(Number(own) / mb, 1), ...(bound !== undefined && { budget: { at: 'most', of: 'value', bound } }), note: `${String(round(Number(all) / mb, 1))} MB with pages of files${unit === 'cleat-agent' ? '; containerd and the shims of the pods are in it' : ''}` });
  }
  return rows;
}

async function commandRows(host: LabHost, rounds: number): Promise<Row[]> {
  const timed = async (command: string, ...args: string[]): Promise<number> => {
    const start = performance.now();
    const { exitCode, stderr } = await host.exec(command, args, { env: { KUBECONFIG: '/etc/cleat/kubeconfig' } });
    if (exitCode !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
    return performance.now() - start;
  };
  const rows: Row[] = [];
  for (const { words, budget } of [{ words: ['version', '--client'], budget: { at: 'most', of: 'value', bound: 150 } as const }, { words: ['get', 'pods'], budget: { at: 'most', of: 'ratio', bound: 1.5 } as const }]) {
    const times: { ours: number; peer: number }[] = [];
    // Beside each other: entering a host costs both the same.
    for (let i = 0; i < rounds + 2; i++) times.push({ peer: await timed('kubectl', ...words), ours: await timed('/usr/local/bin/cleat', ...words) });
    times.splice(0, 2);
    rows.push({ name: `cleat ${words.join(' ')}, the executable`, unit: 'ms', value: round(median(times.map(({ ours }) => ours)), 0), peer: { name: `kubectl ${words.join(' ')}`, value: round(median(times.map(({ peer }) => peer)), 0) }, budget });
  }
  return rows;
}

/** From `systemctl restart` until systemd is told that it is ready. */
async function startRows(host: LabHost, rounds: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const unit of ['cleat-controlplane', 'cleat-agent']) {
    const times: number[] = [];
    for (let i = 0; i < rounds; i++) {
      await host.execOk('systemctl', ['stop', unit], { timeoutMs: 60_000 });
      const start = performance.now();
      await host.execOk('systemctl', ['start', unit], { timeoutMs: 120_000 });
      times.push(performance.now() - start);
    }
    rows.push({ name: `start of ${unit}.service, to READY`, unit: 'ms', value: round(median(times), 0), ...(unit === 'cleat-controlplane' && { budget: { at: 'most', of: 'value', bound: 1000 } }), note: `slowest of ${String(rounds)}: ${String(round(Math.max(...times), 0))} ms` });
  }
  return rows;
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
