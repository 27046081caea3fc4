import { readFile } from 'node:fs/promises';

const capSysResource = 24n;
const lowest = -1000;

/** True when this process may lower an oom_score_adj. */
export async function mayLowerOomScore(): Promise<boolean> {
  const status = await readFile('/proc/self/status', 'utf8');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  return ((effective >> capSysResource) & 1n) === 1n;
}

/** The lowest oom_score_adj that a container can be given on this host: root may lack the right to lower it. */
export async function minOomScoreAdj(): Promise<number> {
  return await mayLowerOomScore() ? lowest : Number(await readFile('/proc/self/oom_score_adj', 'utf8'));
}
