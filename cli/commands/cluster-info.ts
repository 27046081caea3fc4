import { connect } from '../cluster-command.ts';
import { clusterFlags, helpText, parseFlags, refuse, type Flag } from '../flags.ts';
import { checkedOutput } from '../printing/objects.ts';
import type { Command } from '../types.ts';

const dumpFlags: readonly Flag[] = [
  ...clusterFlags,
  { name: 'all-namespaces', short: 'A', type: 'bool', description: 'what is in all namespaces' },
  { name: 'namespaces', type: 'list', description: 'what is in these; without, in kube-system and that of the request' },
  { name: 'output', short: 'o', type: 'string', default: 'json', description: 'json, yaml, name or jsonpath=TEMPLATE' },
  { name: 'output-directory', type: 'string', description: 'write files below this folder; without, or for -, to standard output' },
  { name: 'show-managed-fields', type: 'bool', description: 'with who owns which field' },
];

export const command: Command = {
  help: ([verb] = []) => (verb === 'dump'
    ? helpText('cluster-info dump [flags]', 'Print what helps to find out what is wrong: nodes, Events, workloads, pods and what their containers wrote.', dumpFlags, ['cleat cluster-info dump', 'cleat cluster-info dump -A --output-directory=/tmp/state'])
    : helpText('cluster-info [dump] [flags]', "Show where the control plane is, and the cluster's own Services.", clusterFlags, ['cleat cluster-info', 'cleat cluster-info dump --output-directory=/tmp/state'])),
  async run(argv, io) {
    const dumping = argv.includes('dump');
    const parsed = parseFlags('cluster-info', dumping ? dumpFlags : clusterFlags, argv);
    if (parsed.args.length > (dumping ? 1 : 0)) throw refuse('cluster-info', `unknown command "${parsed.args.find((word) => word !== 'dump') ?? ''}" for "cleat cluster-info"`);
    const output = dumping ? checkedOutput(parsed.string('output') ?? '') : '';
    const client = await connect(parsed, io);
    try {
      if (!dumping) {
        const { showCluster } = await import('../cluster-info/show.ts');
        await showCluster(client, parsed.string('namespace') ?? 'kube-system', io);
        return 0;
      }
      const { ClusterDump } = await import('../cluster-info/dump.ts');
      const { namespace } = client.connection;
      await new ClusterDump(client, io, {
        output, managedFields: parsed.bool('show-managed-fields'), directory: parsed.string('output-directory') ?? '',
        namespaces: parsed.bool('all-namespaces') ? undefined : parsed.has('namespaces') ? parsed.list('namespaces') : [...new Set(['kube-system', namespace])],
      }).write();
      return 0;
    } finally {
      client.close();
    }
  },
};
