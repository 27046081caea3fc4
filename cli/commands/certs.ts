import { eventuallyReady } from '../control-plane-ready.ts';
import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { refuse, refuseVerb } from '../flags.ts';
import { humanAge } from '../printing/age.ts';
import { columns } from '../printing/table.ts';

interface Row { readonly name: string; readonly subject: string; readonly expires: string; readonly renews: string; readonly fingerprint: string }
interface NodeRow { readonly name: string; readonly connected: boolean; readonly expires?: string; readonly current: boolean }
interface Status { readonly rotating: boolean; readonly certificates: readonly Row[]; readonly nodes: readonly NodeRow[] }

export const command = clusterCommand({
  name: 'certs', usage: 'certs status | rotate [--ca [--finish]] [flags]',
  summary: "The cluster's certificates. All of them renew by themselves with a third of their life left; hosts that were off for longer renew theirs when they come back, by their key. 'rotate' makes new ones now, of the control plane and of every host; with --ca from a new CA, which the old one vouches for until --finish lets that go.",
  flags: [
    { name: 'ca', type: 'bool', description: 'rotate: begin with a new CA' },
    { name: 'finish', type: 'bool', description: 'rotate: with --ca, let the old CA go when every node has a certificate of the new one' },
    { name: 'force', type: 'bool', description: 'rotate: with --finish, also when there are nodes that know the old CA only; they have to join again' },
    { name: 'output', short: 'o', type: 'string', description: 'json' },
  ],
  examples: ['cleat certs status', 'cleat certs rotate', 'cleat certs rotate --ca', 'cleat certs rotate --ca --finish'],
  run: async (invocation) => {
    const [verb = 'status', ...more] = invocation.parsed.args;
    if (invocation.parsed.has('output') && invocation.parsed.string('output') !== 'json') throw refuse('certs', "--output must be 'json'");
    if (more.length > 0) throw refuse('certs', `unexpected arguments: ${more.join(' ')}`);
    if (verb === 'status') return status(invocation);
    if (verb === 'rotate') return rotate(invocation);
    throw refuseVerb('certs', verb, ['status', 'rotate']);
  },
});

async function status({ client, parsed, io }: Invocation): Promise<number> {
  const found = await client.json<Status>('GET', '/cleat/v1/certs');
  if (parsed.string('output') === 'json') {
    io.out(`${JSON.stringify(found, null, 4)}\n`);
    return 0;
  }
  const now = Date.now();
  const until = (time: string): string => { const ms = Date.parse(time) - now; return ms > 0 ? `in ${humanAge(ms)}` : 'now'; };
  io.out(columns([['NAME', 'SUBJECT', 'EXPIRES', 'RENEWS', 'SHA-256'], ...found.certificates.map(({ name, subject, expires, renews, fingerprint }) => [name, subject, until(expires), until(renews), fingerprint.slice(0, 16)])]));
  if (found.nodes.length > 0) {
    io.out(`\n${columns([['NODE', 'EXPIRES', 'CA', 'CONNECTED'], ...found.nodes.map(({ name, expires, current, connected }) => [name, expires === undefined ? '<unknown>' : until(expires).replace('now', 'expired'), current ? 'current' : 'previous', connected ? 'yes' : 'no'])])}`);
  }
  if (found.rotating) io.out(`\nThe CA is being replaced. ${found.nodes.every(({ current }) => current) ? 'Every node has a certificate of the new one: cleat certs rotate --ca --finish' : 'When every node has a certificate of the new one: cleat certs rotate --ca --finish'}\n`);
  return 0;
}

async function rotate({ client, parsed, io }: Invocation): Promise<number> {
  const [ca, finish] = [parsed.bool('ca'), parsed.bool('finish')];
  if (finish && !ca) throw refuse('certs', '--finish goes with --ca');
  await client.json('POST', `/cleat/v1/certs/rotate?ca=${String(ca)}&finish=${String(finish)}&force=${String(parsed.bool('force'))}`);
  await eventuallyReady(client, io.interrupted);
  if (finish) io.out('The old CA is gone: what only it has signed counts no more\n');
  else if (ca) io.out('There is a new CA; the old one counts, too, until you end that: cleat certs rotate --ca --finish (cleat certs status says when)\n');
  else io.out('The control plane has new certificates; hosts renew theirs now, or when they come back\n');
  if (!finish) io.out("This host's kubeconfig of the administrator is written anew; copies elsewhere go on working for as long as their certificate does\n");
  return 0;
}
