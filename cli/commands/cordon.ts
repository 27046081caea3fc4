import { dryRunFlag, dryRunOf } from '../dry-run.ts';
import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { report } from '../error-text.ts';
import type { Flag } from '../flags.ts';
import { cordon, selectNodes } from '../drain/nodes.ts';
import type { Command } from '../types.ts';

const flags: readonly Flag[] = [
  dryRunFlag,
  { name: 'selector', short: 'l', type: 'string', description: 'nodes with these labels' },
];

/** `cordon` and its opposite. */
export function cordonCommand(verb: 'cordon' | 'uncordon', summary: string): Command {
  return clusterCommand({ name: verb, usage: `${verb} NODE ... [flags]`, summary, flags, examples: [`cleat ${verb} pi-1`], run: (invocation) => run(verb, invocation) });
}

export const command = cordonCommand('cordon', 'Let no new pods come to nodes. Those that are there stay.');

async function run(verb: 'cordon' | 'uncordon', { client, parsed, io }: Invocation): Promise<number> {
  const { mode, suffix } = dryRunOf(verb, parsed);
  const { nodes, failures } = await selectNodes(verb, client, parsed.args, parsed.string('selector'));
  if (nodes.length + failures.length === 0) io.err('No resources found\n');
  for (const node of nodes) {
    const did = await cordon(client, node, verb === 'cordon', mode);
    io.out(`node/${node.metadata.name} ${did ? '' : 'already '}${verb}ed${suffix}\n`);
  }
  return report(failures, io);
}
