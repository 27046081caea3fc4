import { readFile } from 'node:fs/promises';
import { someProcess } from '#agent/runtimes/cgroups.ts';
import type { NetworkUsage } from '#agent/session/types.ts';

/** What the pod of a cgroup has received and sent over its own interface; undefined when nothing of it runs. */
export async function networkUsage(podCgroup: string): Promise<NetworkUsage | undefined> {
  const pid = await someProcess(podCgroup);
  return pid === undefined ? undefined : parseCounters(await readFile(`/proc/${String(pid)}/net/dev`, 'utf8').catch(() => ''));
}

/** The counters of all interfaces but the loopback; see proc_net_dev(5). */
export function parseCounters(text: string): NetworkUsage | undefined {
  const lines = text.split('\n').slice(2).map((line) => line.trim().split(/[:\s]+/)).filter(([name = '']) => name !== '' && name !== 'lo');
  if (lines.length === 0) return undefined;
  const sum = (column: number): number => lines.reduce((total, columns) => total + Number(columns[column] ?? 0), 0);
  return { receivedBytes: sum(1), receivedPackets: sum(2), receiveErrors: sum(3), sentBytes: sum(9), sentPackets: sum(10), sendErrors: sum(11) };
}
