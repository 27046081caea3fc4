import { exec } from '#common/exec.ts';
import type { Log } from '#common/log.ts';
import type { Ledger } from '#agent/node/ledger.ts';

const table = 'cleat-net';

/** The table that tells both ends of a TCP connection how large the packets on its way may be; see `syncClamp`. */
export function clampRules(podCidrs: readonly string[]): string {
  const rules = podCidrs.flatMap((cidr) => {
    const family = cidr.includes(':') ? 'ip6' : 'ip';
    return ['daddr', 'saddr'].map((side) => `    ${family} ${side} ${cidr} tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu`);
  });
  return `add table inet ${table}\ndelete table inet ${table}\ntable inet ${table} {\n  chain forward {\n    type filter hook forward priority mangle; policy accept;\n${rules.join('\n')}\n  }\n}\n`;
}

/**
 * Ranges of peers whose path takes less than the pods' own links: their TCP connections agree on segments that fit,
 * whether or not the errors that say so get through. The table is there only while there is such a peer. Resolves with
 * what is in force: give it back next time.
 */
export async function syncClamp(podCidrs: readonly string[], before: string, deps: { readonly ledger: Pick<Ledger, 'record'>; readonly log: Log }, signal: AbortSignal): Promise<string> {
  const key = [...podCidrs].sort().join();
  if (key === before && (key === '' || await present(signal))) return before;
  if (key !== '') await deps.ledger.record({ kind: 'nftables-table', target: `inet ${table}`, before: null, after: null });
  else if (!await present(signal)) return key;
  const { exitCode, stderr } = await exec('nft', ['-f', '-'], { input: key === '' ? `delete table inet ${table}\n` : clampRules([...podCidrs].sort()), signal });
  if (exitCode !== 0) deps.log.warn({ err: stderr.trim().slice(0, 300) }, 'tcp segments between hosts cannot be limited: connections rely on path mtu discovery');
  return key;
}

async function present(signal: AbortSignal): Promise<boolean> {
  return (await exec('nft', ['list', 'table', 'inet', table], { signal }).catch(() => ({ exitCode: 1 }))).exitCode === 0;
}
