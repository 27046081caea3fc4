import { readFileSync } from 'node:fs';

/** What one process costs, from /proc. */
export interface Usage {
  /** Its share of what it has in memory. */
  readonly pssBytes: number;
  /** User and system time since it started. */
  readonly cpuMs: number;
  /** What it has caused to be written to a disk since it started. */
  readonly writtenBytes: number;
}

/** Clock ticks of /proc/PID/stat; 100 a second wherever Linux runs Node. */
const msPerTick = 10;

export function usageOf(pid: number): Usage {
  const read = (file: string): string => readFileSync(`/proc/${String(pid)}/${file}`, 'utf8');
  const stat = read('stat');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return {
    pssBytes: numberAfter('Pss:', read('smaps_rollup')) * 1024,
    cpuMs: (Number(fields[11]) + Number(fields[12])) * msPerTick,
    writtenBytes: numberAfter('write_bytes:', read('io')) - numberAfter('cancelled_write_bytes:', read('io')),
  };
}

function numberAfter(label: string, text: string): number {
  const found = new RegExp(`^${label}\\s+(\\d+)`, 'm').exec(text)?.[1];
  if (found === undefined) throw new Error(`no ${label} in what /proc says`);
  return Number(found);
}
