import { readFile } from 'node:fs/promises';
import { someProcess } from '#agent/runtimes/cgroups.ts';
import type { InterfaceUsage, PodNetworkUsage } from '#common/container-details.ts';

/** What the pod of a cgroup has received and sent over its own interfaces; undefined when nothing of it runs. */
export async function networkUsage(podCgroup: string): Promise<PodNetworkUsage | undefined> {
  const pid = await someProcess(podCgroup);
  return pid === undefined ? undefined : sumOf(parseCounters(await readFile(`/proc/${String(pid)}/net/dev`, 'utf8').catch(() => '')));
}

/** All together, and each; undefined where there are none. */
export function sumOf(interfaces: readonly InterfaceUsage[]): PodNetworkUsage | undefined {
  if (interfaces.length === 0) return undefined;
  const sum = (value: (one: InterfaceUsage) => number): number => interfaces.reduce((total, one) => total + value(one), 0);
  return {
    receivedBytes: sum((one) => one.receivedBytes), receivedPackets: sum((one) => one.receivedPackets), receiveErrors: sum((one) => one.receiveErrors),
    sentBytes: sum((one) => one.sentBytes), sentPackets: sum((one) => one.sentPackets), sendErrors: sum((one) => one.sendErrors), interfaces,
  };
}

/** The counters of all interfaces but the loopback; see proc_net_dev(5). */
export function parseCounters(text: string): InterfaceUsage[] {
  const lines = text.split('\n').slice(2).map((line) => line.trim().split(/[:\s]+/)).filter(([name = '']) => name !== '' && name !== 'lo');
  return lines.map(([name = '', ...columns]) => {
    const of = (column: number): number => Number(columns[column - 1] ?? 0);
    return { name, receivedBytes: of(1), receivedPackets: of(2), receiveErrors: of(3), receiveDropped: of(4), sentBytes: of(9), sentPackets: of(10), sendErrors: of(11), sendDropped: of(12) };
  });
}
