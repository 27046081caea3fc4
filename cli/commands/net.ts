import { isStatus, messageOf } from '#common/errors.ts';
import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { refuse, type Flag } from '../flags.ts';
import { columns } from '../printing/table.ts';
import type { Command } from '../types.ts';

const flags: readonly Flag[] = [{ name: 'no-headers', type: 'bool', description: 'leave the header line out' }, { name: 'output', short: 'o', type: 'string', description: 'json' }];

interface Status {
  readonly foreign?: string;
  readonly peers: readonly { readonly node: string; readonly how: string; readonly why: string; readonly mtu: number; readonly seenAgoMs?: number; readonly rttMs?: number; readonly problem?: string }[];
}
interface Finding { readonly to: string; readonly protocol: string; readonly bytes: number; readonly problem?: string; readonly heard?: boolean }
/** What one node said, or why it said nothing. */
interface Told<T> { readonly node: string; readonly answer?: T; readonly problem?: string }

export const command: Command = clusterCommand({
  name: 'net', usage: 'net [check] [NODE ...] [flags]',
  summary: 'How the pods of each host reach those of each other host. `check` sends packets of full size, UDP and TCP, from each to each.',
  flags, examples: ['cleat net', 'cleat net check', 'cleat net check pi-1 pi-2'], run,
});

async function run({ client, parsed, io }: Invocation): Promise<number> {
  const [first, ...rest] = parsed.args;
  const checking = first === 'check';
  const wanted = checking ? rest : parsed.args;
  const { items } = await client.json<{ items: { metadata: { name: string } }[] }>('GET', '/api/v1/nodes');
  const names = items.map(({ metadata }) => metadata.name);
  const unknown = wanted.filter((name) => !names.includes(name));
  if (unknown.length > 0) throw refuse('net', `there is no node ${unknown.join(', ')}`);
  const asked = names.filter((name) => wanted.length === 0 || wanted.includes(name)).sort();
  const ask = async <T>(node: string): Promise<Told<T>> => {
    try {
      return { node, answer: await client.json<T>('GET', `/api/v1/nodes/${encodeURIComponent(node)}/proxy/network${checking ? '?check=true' : ''}`) };
    } catch (error) {
      // One host that is away is a finding, not the end.
      if (isStatus(error, 'Forbidden', 'Unauthorized')) throw error;
      return { node, problem: messageOf(error) };
    }
  };
  const output = parsed.string('output');
  if (output !== undefined && output !== 'json') throw refuse('net', "--output must be 'json'");
  if (checking && output !== undefined) {
    const found = await Promise.all(asked.map((node) => ask<Finding[]>(node)));
    io.out(`${JSON.stringify(found, null, 4)}\n`);
    return found.some(({ answer = [], problem }) => problem !== undefined || answer.some((finding) => finding.problem !== undefined)) ? 1 : 0;
  }
  if (checking) return printCheck(await Promise.all(asked.map((node) => ask<Finding[]>(node))), wanted, io);
  const told = await Promise.all(asked.map((node) => ask<Status>(node)));
  if (output !== undefined) io.out(`${JSON.stringify(told, null, 4)}\n`);
  else io.out(columns([...(parsed.bool('no-headers') ? [] : [['FROM', 'TO', 'HOW', 'MTU', 'RTT', 'LAST SEEN', 'WHY']]), ...told.flatMap(rowsOf)]));
  return told.some(({ problem }) => problem !== undefined) ? 1 : 0;
}

function rowsOf({ node, answer, problem }: Told<Status>): string[][] {
  if (!answer) return [[node, '', '', '', '', '', problem ?? '']];
  if (answer.foreign !== undefined) return [[node, '*', 'not by Cleat', '', '', '', `pods get their network from ${answer.foreign}`]];
  return answer.peers.map((peer) => [
    node, peer.node, peer.how, peer.mtu > 0 ? String(peer.mtu) : '-', peer.rttMs === undefined ? '-' : `${String(peer.rttMs)}ms`,
    peer.seenAgoMs === undefined ? 'never' : peer.seenAgoMs < 2000 ? 'now' : `${String(Math.round(peer.seenAgoMs / 1000))}s ago`,
    peer.problem === undefined || peer.problem === peer.why ? peer.why : `${peer.why}; ${peer.problem}`,
  ]);
}

function printCheck(told: readonly Told<readonly Finding[]>[], wanted: readonly string[], io: Invocation['io']): number {
  let failed = 0;
  let passed = 0;
  for (const { node, answer = [], problem } of told) {
    if (problem !== undefined) io.out(`${node}: not asked: ${problem}\n`);
    if (problem !== undefined) failed++;
    for (const finding of answer.filter(({ to }) => wanted.length < 2 || wanted.includes(to))) {
      if (finding.problem === undefined) passed++;
      else {
        failed++;
        const other = told.find((one) => one.node === finding.to)?.answer?.find(({ to }) => to === node);
        io.out(`${node} -> ${finding.to}: ${finding.protocol}: ${problemOf(finding, finding.problem, other)}\n`);
      }
    }
  }
  io.out(failed === 0 ? `all ${String(passed)} checks passed\n` : `${String(failed)} of ${String(passed + failed)} checks failed\n`);
  return failed === 0 ? 0 : 1;
}

/** No answer may mean either direction; what the other host heard meanwhile tells which. */
function problemOf({ heard, to, bytes }: Finding, problem: string, other: Finding | undefined): string {
  if (heard === undefined || other?.heard === undefined) return problem;
  return other.heard ? `packets arrive, but the answers of ${to} do not` : `nothing arrives, of ${String(bytes)} bytes or fewer`;
}
