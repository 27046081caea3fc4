import { StatusError } from '#common/errors.ts';
import { rfc3339 } from '#common/time.ts';
import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { eachOf } from '../each.ts';
import { isAnswer, report } from '../error-text.ts';
import { refuse, type Flag } from '../flags.ts';
import { displayName, pathOf, resolveResource, type Target } from '../resources.ts';
import { fileFlags, hasFiles, readTargets } from '../targets.ts';

const flags: readonly Flag[] = [
  ...fileFlags,
  { name: 'force', type: 'bool', description: 'also where the request was decided on already: the time is noted anew' },
  { name: 'output', short: 'o', type: 'string', description: 'name prints names only' },
];

interface Condition { readonly type: string; readonly status?: string }
interface Request { readonly metadata: { readonly resourceVersion?: string }; readonly status?: { readonly conditions?: readonly Condition[] } }

const decisions = {
  approve: { type: 'Approved', other: 'Denied', reason: 'KubectlApprove', did: 'approved', message: 'This CSR was approved by kubectl certificate approve.' },
  deny: { type: 'Denied', other: 'Approved', reason: 'KubectlDeny', did: 'denied', message: 'This CSR was denied by kubectl certificate deny.' },
} as const;
type Decision = (typeof decisions)[keyof typeof decisions];

export const command = clusterCommand({
  name: 'certificate', usage: 'certificate (approve | deny) (NAME ... | -f FILE) [flags]', flags,
  summary: 'Approve or deny CertificateSigningRequests. An approved certificate lets who asked for it act as whom it names.',
  examples: ['cleat get csr', 'cleat certificate approve csr-sqgzp', 'cleat certificate deny csr-sqgzp'], run,
});

async function run(invocation: Invocation): Promise<number> {
  const { client, parsed, io } = invocation;
  const [verb = '', ...names] = parsed.args;
  if (!Object.hasOwn(decisions, verb)) throw refuse('certificate', `${verb === '' ? 'say what to decide' : `unknown command "${verb}"`}: expected approve or deny`);
  const decision = decisions[verb as keyof typeof decisions];
  const type = await resolveResource(client, 'certificatesigningrequests');
  const targets: readonly Target[] = hasFiles(parsed) ? await readTargets('certificate', client, { ...parsed, args: names }, io) : names.map((name) => ({ type, name: name.replace(/^(csr|certificatesigningrequests?(\.certificates\.k8s\.io)?)\//, '') }));
  if (targets.length === 0) throw refuse('certificate', 'one or more CSRs must be specified as <name> or -f <filename>');
  return report(await eachOf(targets, async (target) => {
    if (target.type.plural !== type.plural) throw new StatusError('BadRequest', `${displayName(target.type, target.name ?? '')} is no CertificateSigningRequest`);
    await decide(invocation, pathOf(type, undefined, target.name), target.name ?? '', decision);
    io.out(parsed.string('output') === 'name' ? `${displayName(type, target.name ?? '')}\n` : `${displayName(type, target.name ?? '')} ${decision.did}\n`);
  }), io);
}

const attempts = 10;

/** Others may write to the request meanwhile: what they wrote is looked at again. */
async function decide({ client, parsed }: Invocation, path: string, name: string, { type, other, reason, message }: Decision): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const request = await client.json<Request>('GET', path);
    const conditions = request.status?.conditions ?? [];
    if (conditions.some((one) => one.type === other)) throw new StatusError('Conflict', `certificate signing request "${name}" is already ${other}; a decision cannot be taken back: make another request`);
    const decided = conditions.some((one) => one.type === type);
    if (decided && !parsed.bool('force')) return;
    const condition = { type, status: 'True', reason, message, lastUpdateTime: rfc3339(Date.now()) };
    try {
      await client.json('PUT', `${path}/approval`, { ...request, status: { ...request.status, conditions: [...conditions.filter((one) => one.type !== type), condition] } });
      return;
    } catch (error) {
      if (!isAnswer(error) || error.code !== 'Conflict' || attempt >= attempts) throw error;
    }
  }
}
