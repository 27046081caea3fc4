import { isStatus, StatusError } from '#common/errors.ts';
import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { refuse, refuseMore, refuseVerb, type Flag } from '../flags.ts';
import { columns } from '../printing/table.ts';
import { resolveResource, type ResourceType } from '../resources.ts';

const flags: readonly Flag[] = [
  { name: 'all-namespaces', short: 'A', type: 'bool', description: 'in all namespaces' },
  { name: 'list', type: 'bool', description: 'can-i: all that is allowed' },
  { name: 'quiet', short: 'q', type: 'bool', description: 'can-i: the exit code says it' },
  { name: 'subresource', type: 'string', description: 'can-i: such as log or scale' },
  { name: 'no-headers', type: 'bool', description: 'leave the header line out' },
  { name: 'output', short: 'o', type: 'string', description: 'whoami: json or yaml' },
];

interface Attributes { readonly namespace?: string; readonly verb: string; readonly group?: string; readonly resource?: string; readonly subresource?: string; readonly name?: string }
interface Review { readonly status: { readonly allowed: boolean; readonly reason?: string; readonly evaluationError?: string } }
interface Rules {
  readonly status: {
    readonly resourceRules: readonly { readonly verbs: readonly string[]; readonly apiGroups?: readonly string[]; readonly resources?: readonly string[]; readonly resourceNames?: readonly string[] }[];
    readonly nonResourceRules: readonly { readonly verbs: readonly string[]; readonly nonResourceURLs?: readonly string[] }[];
  };
}
interface Self { readonly status: { readonly userInfo: { readonly username?: string; readonly uid?: string; readonly groups?: readonly string[]; readonly extra?: Readonly<Record<string, readonly string[]>> } } }

const root = '/apis/authorization.k8s.io/v1';

export const command = clusterCommand({
  name: 'auth', usage: 'auth can-i VERB (TYPE | TYPE/NAME | /URL) | can-i --list | whoami [flags]', summary: 'Say what this user may do, and who this user is. can-i exits with 1 when it is not allowed.', flags,
  examples: ['cleat auth can-i create deployments -n web', 'cleat auth can-i get pods --subresource=log --as=jane', 'cleat auth can-i --list', 'cleat auth whoami'],
  async run(invocation) {
    const [verb = '', ...rest] = invocation.parsed.args;
    if (verb === 'whoami') {
      refuseMore('auth', rest);
      return whoAmI(invocation);
    }
    if (verb !== 'can-i') throw refuseVerb('auth', verb, ['can-i', 'whoami']);
    if (!invocation.parsed.bool('list')) return canI(invocation, rest);
    if (rest.length > 0) throw refuse('auth', 'list option must be specified with no arguments');
    return list(invocation);
  },
});

async function canI({ client, parsed, io }: Invocation, [verb, what, ...more]: readonly string[]): Promise<number> {
  if (verb === undefined || what === undefined || more.length > 1) throw refuse('auth', 'you must specify two arguments: verb resource or verb resource/resourceName.');
  const spec = what.startsWith('/') ? { nonResourceAttributes: { verb, path: what } } : { resourceAttributes: await attributesOf({ client, parsed, io, words: undefined }, verb, more[0] === undefined ? what : `${what}/${more[0]}`) };
  const { status } = await client.json<Review>('POST', `${root}/selfsubjectaccessreviews`, { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview', spec });
  const reason = status.reason ? ` - ${status.reason}` : '';
  if (!parsed.bool('quiet')) io.out(status.allowed ? 'yes\n' : `no${reason}${status.evaluationError ? ` - ${status.evaluationError}` : ''}\n`);
  return status.allowed ? 0 : 1;
}

async function attributesOf({ client, parsed, io }: Invocation, verb: string, what: string): Promise<Attributes> {
  const [resource = '', name] = what.split('/');
  let type: Pick<ResourceType, 'group' | 'plural' | 'namespaced'> = { group: '', plural: resource, namespaced: true };
  if (resource === '*') type = { group: '*', plural: '*', namespaced: true };
  else {
    try {
      type = await resolveResource(client, resource);
    } catch (error) {
      if (!isStatus(error, 'NotFound') || error.details !== undefined) throw error;
      io.err(`Warning: the server doesn't have a resource type '${resource}'\n`);
    }
  }
  const everywhere = parsed.bool('all-namespaces');
  if (!type.namespaced && !everywhere) io.err(`Warning: resource '${type.plural}' is not namespace scoped${type.group === '' ? '' : ` in group '${type.group}'`}\n`);
  return {
    verb, group: type.group, resource: type.plural, ...(parsed.has('subresource') && { subresource: parsed.string('subresource') ?? '' }), ...(name !== undefined && { name }),
    ...(!everywhere && { namespace: client.connection.namespace }),
  };
}

async function list({ client, parsed, io }: Invocation): Promise<number> {
  const { status } = await client.json<Rules>('POST', `${root}/selfsubjectrulesreviews`, { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectRulesReview', spec: { namespace: client.connection.namespace } });
  const listed = (words: readonly string[] = []): string => `[${words.join(' ')}]`;
  const rows = [
    ...status.resourceRules.flatMap(({ verbs, apiGroups = [], resources = [], resourceNames }) => resources.flatMap((resource) => apiGroups.map((group) => [group === '' ? resource : `${resource}.${group}`, '[]', listed(resourceNames), listed(verbs)]))),
    ...status.nonResourceRules.flatMap(({ verbs, nonResourceURLs = [] }) => nonResourceURLs.map((url) => ['', listed([url]), '[]', listed(verbs)])),
  ].sort((a, b) => ((a[0] ?? '') < (b[0] ?? '') ? -1 : 1));
  io.out(columns([...(parsed.bool('no-headers') ? [] : [['Resources', 'Non-Resource URLs', 'Resource Names', 'Verbs']]), ...rows]));
  return 0;
}

async function whoAmI({ client, parsed, io }: Invocation): Promise<number> {
  const review = await client.json<Self>('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' });
  const output = parsed.string('output');
  if (output !== undefined && output !== 'json' && output !== 'yaml') throw new StatusError('BadRequest', `unable to match a printer suitable for the output format "${output}", allowed formats are: json,yaml`);
  if (output !== undefined) {
    io.out(output === 'json' ? `${JSON.stringify(review, null, 4)}\n` : (await import('../yaml.ts')).formatYaml(review));
    return 0;
  }
  const { username = '', uid, groups = [], extra = {} } = review.status.userInfo;
  io.out(columns([['ATTRIBUTE', 'VALUE'], ['Username', username], ...(uid ? [['UID', uid]] : []), ...(groups.length > 0 ? [['Groups', `[${groups.join(' ')}]`]] : []), ...Object.entries(extra).map(([key, values]) => [`Extra: ${key}`, `[${values.join(' ')}]`])]));
  return 0;
}
