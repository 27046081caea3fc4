import { cpuMillis as millisOf, quantityValue as bytesOf } from '#api/meta/quantity.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import type { RestClient } from '../client.ts';
import { connect } from '../cluster-command.ts';
import { clusterFlags, helpText, parseFlags, refuse, refuseMore, type Flag } from '../flags.ts';
import { mebiOf } from '../printing/quantity.ts';
import { columns } from '../printing/table.ts';
import type { Command } from '../types.ts';

const flags: readonly Flag[] = [
  ...clusterFlags,
  { name: 'all-namespaces', short: 'A', type: 'bool', description: 'pods of all namespaces' },
  { name: 'selector', short: 'l', type: 'string', description: 'only objects with these labels' },
  { name: 'containers', type: 'bool', description: 'a line for each container' },
  { name: 'no-headers', type: 'bool', description: 'leave the header line out' },
  { name: 'sum', type: 'bool', description: 'pods: a last line with the sums' },
  { name: 'show-capacity', type: 'bool', description: 'nodes: percentages of what they have, not of what pods may take' },
  { name: 'sort-by', type: 'string', description: 'cpu or memory' },
];

interface Usage { readonly cpu: string; readonly memory: string }
interface NodeMetrics { readonly metadata: { readonly name: string }; readonly usage: Usage }
interface PodMetrics { readonly metadata: { readonly name: string; readonly namespace: string }; readonly containers: readonly { readonly name: string; readonly usage: Usage }[] }
interface Row { readonly cells: readonly string[]; readonly cpuMillis: number; readonly memoryBytes: number }

export const command: Command = {
  help: () => helpText('top nodes|pods [NAME] [flags]', 'Show CPU and memory in use.', flags, ['cleat top nodes', 'cleat top pods -A --sort-by=memory']),
  async run(argv, io) {
    const parsed = parseFlags('top', flags, argv);
    const [what = '', name, ...more] = parsed.args;
    refuseMore('top', more);
    if (name !== undefined && parsed.has('selector')) throw refuse('top', 'only one of NAME or selector can be provided');
    const sortBy = parsed.string('sort-by');
    if (sortBy !== undefined && sortBy !== 'cpu' && sortBy !== 'memory') throw refuse('top', '--sort-by accepts only cpu or memory');
    const query = parsed.has('selector') ? `?labelSelector=${encodeURIComponent(parsed.string('selector') ?? '')}` : '';
    const client = await connect(parsed, io);
    const root = '/apis/metrics.k8s.io/v1beta1';
    try {
      let rows: Row[];
      let header: string[];
      if (/^(nodes?|no)$/.test(what)) {
        header = ['NAME', 'CPU(cores)', 'CPU(%)', 'MEMORY(bytes)', 'MEMORY(%)'];
        const items = await fetchItems<NodeMetrics>(client, `${root}/nodes`, name, query);
        if (items.length === 0) throw notYet();
        rows = await nodeRows(client, items, parsed.bool('show-capacity') ? 'capacity' : 'allocatable', name === undefined && !parsed.has('selector'));
      } else if (/^(pods?|po)$/.test(what)) {
        const all = parsed.bool('all-namespaces');
        const scope = all ? '' : `namespaces/${encodeURIComponent(client.connection.namespace)}/`;
        const path = `${root}/${scope}pods`;
        header = [...(all ? ['NAMESPACE'] : []), ...(parsed.bool('containers') ? ['POD'] : []), 'NAME', 'CPU(cores)', 'MEMORY(bytes)'];
        rows = podRows(await fetchItems<PodMetrics>(client, path, name, query), all, parsed.bool('containers'));
        if (rows.length === 0) {
          // No pods is an answer; pods that nobody has measured yet are not.
          const pods = await client.json<{ items: unknown[] }>('GET', `/api/v1/${scope}pods${query}`);
          if (pods.items.length > 0) throw notYet();
          io.err(all ? 'No resources found\n' : `No resources found in ${client.connection.namespace} namespace.\n`);
          return 0;
        }
      } else throw refuse('top', what === '' ? 'say of what: nodes or pods' : `unknown subject "${what}": expected nodes or pods`);
      if (sortBy !== undefined) rows.sort((a, b) => (sortBy === 'cpu' ? b.cpuMillis - a.cpuMillis : b.memoryBytes - a.memoryBytes));
      if (parsed.bool('sum') && !header.includes('CPU(%)')) rows.push(...sumRows(rows, header.length));
      io.out(columns([...(parsed.bool('no-headers') ? [] : [header]), ...rows.map(({ cells }) => cells)]));
    } finally {
      client.close();
    }
    return 0;
  },
};

function notYet(): StatusError {
  return new StatusError('ServiceUnavailable', 'metrics not available yet');
}

async function fetchItems<T>(client: RestClient, path: string, name: string | undefined, query: string): Promise<readonly T[]> {
  try {
    return name === undefined ? (await client.json<{ items: T[] }>('GET', path + query)).items : [await client.json<T>('GET', `${path}/${encodeURIComponent(name)}`)];
  } catch (error) {
    if (isStatus(error, 'NotFound') && name === undefined) throw new StatusError('NotFound', 'Metrics API not available', { cause: error });
    throw error;
  }
}

/** `all`: nodes of which nothing is known are shown, too. */
async function nodeRows(client: RestClient, items: readonly NodeMetrics[], base: 'allocatable' | 'capacity', all: boolean): Promise<Row[]> {
  const nodes = await client.json<{ items: { metadata: { name: string }; status?: { allocatable?: Partial<Usage>; capacity?: Partial<Usage> } }[] }>('GET', '/api/v1/nodes');
  const rows = items.map(({ metadata, usage }): Row => {
    const allocatable = nodes.items.find((node) => node.metadata.name === metadata.name)?.status?.[base] ?? {};
    const [cpuMillis, memoryBytes] = [millisOf(usage.cpu), bytesOf(usage.memory)];
    return { cpuMillis, memoryBytes, cells: [metadata.name, `${String(cpuMillis)}m`, percent(cpuMillis, millisOf(allocatable.cpu ?? '0')), mebiOf(memoryBytes), percent(memoryBytes, bytesOf(allocatable.memory ?? '0'))] };
  });
  const unknown = nodes.items.filter(({ metadata }) => all && !items.some((item) => item.metadata.name === metadata.name));
  return [...rows, ...unknown.map(({ metadata }): Row => ({ cpuMillis: -1, memoryBytes: -1, cells: [metadata.name, '<unknown>', '<unknown>', '<unknown>', '<unknown>'] }))];
}

function podRows(items: readonly PodMetrics[], namespaces: boolean, containers: boolean): Row[] {
  return items.flatMap(({ metadata, containers: parts }) => {
    const row = (names: readonly string[], usages: readonly Usage[]): Row => {
      const cpuMillis = usages.reduce((sum, { cpu }) => sum + millisOf(cpu), 0);
      const memoryBytes = usages.reduce((sum, { memory }) => sum + bytesOf(memory), 0);
      return { cpuMillis, memoryBytes, cells: [...(namespaces ? [metadata.namespace] : []), ...names, `${String(cpuMillis)}m`, mebiOf(memoryBytes)] };
    };
    return containers ? parts.map(({ name, usage }) => row([metadata.name, name], [usage])) : [row([metadata.name], parts.map(({ usage }) => usage))];
  });
}

/** A rule below the numbers, then their sums. */
function sumRows(rows: readonly Row[], columnCount: number): Row[] {
  const cpuMillis = rows.reduce((sum, row) => sum + row.cpuMillis, 0);
  const memoryBytes = rows.reduce((sum, row) => sum + row.memoryBytes, 0);
  const names = Array.from({ length: columnCount - 2 }, () => '');
  return [{ cpuMillis, memoryBytes, cells: [...names, '________', '________'] }, { cpuMillis, memoryBytes, cells: [...names, `${String(cpuMillis)}m`, mebiOf(memoryBytes)] }];
}

function percent(value: number, of: number): string {
  return of === 0 ? '<unknown>' : `${String(Math.floor((value / of) * 100))}%`;
}
