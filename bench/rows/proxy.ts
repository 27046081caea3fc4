import { join } from 'node:path';
import { exec } from '#common/exec.ts';
import { measureBackend } from '../proxy-lab.ts';
import type { Row, RunOptions } from '../row.ts';

const uml = join(import.meta.dirname, '../../test/support/lab/uml');

/**
 * Service rules in network namespaces of their own; two minutes, with `--quick` half of one. Needs root. IPVS, which few machines' kernels
 * have, is measured in a User-Mode Linux host where the lab's kernel is built: there only ratios say something about real hosts.
 */
export async function* run({ quick }: RunOptions): AsyncIterable<Row> {
  const counts = quick ? [100, 1000] : [100, 1000, 5000];
  yield* measureBackend('nftables', counts);
  yield* measureBackend('iptables', counts);
  if ((await exec('sh', [join(uml, 'kernel.sh'), '--cached'])).exitCode !== 0) {
    console.error('ipvs is not measured: npm run test:vm builds the kernel that it needs');
    return;
  }
  const { exitCode, stdout, stderr } = await exec('sh', [join(uml, 'run.sh'), '-m', '512', process.execPath, join(import.meta.dirname, '../proxy-process.ts'), 'rows', 'ipvs', counts.join()], { timeoutMs: 1_800_000 });
  const lines = stdout.split('\n');
  for (const { budget, ...row } of lines.filter((line) => line.startsWith('{"name":')).map((line) => JSON.parse(line) as Row)) {
    yield { ...row, ...(budget?.of === 'ratio' && { budget }), note: [row.note, 'in User-Mode Linux, where system calls are slow'].filter(Boolean).join('; ') };
  }
  if (exitCode !== 0) throw new Error(`ipvs: ${[...lines.filter((line) => !line.startsWith('{')), stderr].join('\n').trim().slice(-2000)}`);
}
