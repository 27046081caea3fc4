import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { messageOf, StatusError } from '#common/errors.ts';
import { fingerprintOf } from '#common/pki/certificate.ts';
import { formatJoinToken, makeJoinToken } from '#common/pki/join-token.ts';
import type { RestClient } from '../client.ts';
import { connect } from '../cluster-command.ts';
import { clusterFlags, helpText, parseFlags, refuse, refuseMore, refuseVerb, type Flag, type ParsedFlags } from '../flags.ts';
import { columns } from '../printing/table.ts';
import { humanAge } from '../printing/age.ts';
import type { Command, Io } from '../types.ts';

const flags: readonly Flag[] = [
  ...clusterFlags,
  { name: 'ttl', type: 'duration', default: '24h', description: 'how long the token may be used; 0 is for ever' },
  { name: 'description', type: 'string', description: 'a note for whoever lists the tokens' },
  { name: 'node-names', type: 'list', description: 'only hosts of these names may join with it; * stands for anything: pi-*' },
  { name: 'one-time', type: 'bool', description: 'for one host only' },
  { name: 'replace', type: 'string', description: 'for one host that takes the place of this node, whose own host is gone: its name, labels and pods' },
  { name: 'advertise-address', type: 'string', description: 'server address to print, when agents reach it by another than the kubeconfig names' },
  { name: 'output', short: 'o', type: 'string', description: 'json' },
  { name: 'token-only', type: 'bool', description: 'print the token alone, for scripts' },
];

const secretsPath = '/api/v1/namespaces/kube-system/secrets';
const secretType = 'bootstrap.kubernetes.io/token';

interface TokenSecret { readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> }; readonly data?: Readonly<Record<string, string>> }

/** Source of the Secret's form: https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/ */
export const command: Command = {
  help: () => helpText('token create | list | delete ID [flags]', 'Join tokens: what a new host needs once.', flags, ['cleat token create', 'cleat token create --ttl=1h', "cleat token create --node-names='pi-*'", 'cleat token create --one-time', 'cleat token create --replace=pi-3', 'cleat token list', 'cleat token delete abcdef']),
  async run(argv, io) {
    const parsed = parseFlags('token', flags, argv);
    const [verb = '', ...rest] = parsed.args;
    if (parsed.has('output') && parsed.string('output') !== 'json') throw refuse('token', "--output must be 'json'");
    const client = await connect(parsed, io);
    try {
      switch (verb) {
        case 'create':
          refuseMore('token', rest);
          return await create(client, parsed, io);
        case 'list':
          refuseMore('token', rest);
          return await list(client, parsed.has('output'), io);
        case 'delete': return await remove(client, rest, io);
        default: throw refuseVerb('token', verb, ['create', 'list', 'delete']);
      }
    } finally {
      client.close();
    }
  },
};

async function create(client: RestClient, parsed: ParsedFlags, io: Io): Promise<number> {
  const { ca } = client.connection;
  if (ca === undefined) throw new StatusError('BadRequest', "the kubeconfig names no CA, so the token cannot carry its fingerprint; use the cluster's admin kubeconfig");
  let fingerprint: string;
  try {
    fingerprint = fingerprintOf(new X509Certificate(ca));
  } catch (error) {
    throw new StatusError('BadRequest', `the kubeconfig's CA certificate cannot be read: ${messageOf(error)}`, { cause: error });
  }
  const made = makeJoinToken(fingerprint);
  const ttlMs = parsed.durationMs('ttl') ?? 0;
  const expires = ttlMs > 0 ? new Date(Date.now() + ttlMs).toISOString() : null;
  const { id, secret } = made;
  const replace = parsed.string('replace');
  const names = replace === undefined ? parsed.list('node-names') : [replace];
  if (replace !== undefined && !await client.find(`/api/v1/nodes/${encodeURIComponent(replace)}`)) throw new StatusError('NotFound', `there is no node ${replace} to replace; see cleat nodes`);
  await client.json('POST', secretsPath, {
    apiVersion: 'v1', kind: 'Secret', type: secretType, metadata: { name: `bootstrap-token-${id}`, namespace: 'kube-system' },
    stringData: {
      'token-id': id, 'token-secret': secret, 'usage-bootstrap-authentication': 'true',
      ...(expires !== null && { expiration: expires }),
      ...(names.length > 0 && { 'node-names': names.join(',') }),
      ...((parsed.bool('one-time') || replace !== undefined) && { 'one-time': 'true' }),
      ...(replace !== undefined && { replace: 'true' }),
      ...(parsed.has('description') && { description: parsed.string('description') }),
    },
  });
  const token = formatJoinToken(made);
  if (parsed.bool('token-only')) {
    io.out(`${token}\n`);
    return 0;
  }
  const url = new URL(client.connection.server);
  const host = parsed.string('advertise-address') ?? (await advertised(client)) ?? url.hostname;
  const server = `https://${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${url.port || '443'}`;
  // Where this host was installed, others are.
  const command = existsSync('/etc/systemd/system/cleat-controlplane.service') ? `sudo sh install.sh --join ${server}` : `cleat agent --server ${server}`;
  const line = `${command} --token ${token}${replace === undefined ? '' : ` --node-name ${replace}`}`;
  if (parsed.has('output')) {
    io.out(`${JSON.stringify({ id, token, server, caFingerprint: fingerprint, expires, command: line }, null, 4)}\n`);
    return 0;
  }
  const scope = [...(names.length > 0 ? [`as ${names.join(' or ')}`] : []), ...(parsed.bool('one-time') || replace !== undefined ? ['once'] : [])];
  io.err(`Run this on the new host${ttlMs > 0 ? ` within ${humanAge(ttlMs)}` : ''}${scope.length > 0 ? `, ${scope.join(', ')}` : ''}:\n\n`);
  io.out(`${line}\n`);
  return 0;
}

/** The kubeconfig may say 127.0.0.1; what other hosts can reach is what the kubernetes Service points at. */
async function advertised(client: RestClient): Promise<string | undefined> {
  const slice = await client.find<{ endpoints?: { addresses: string[] }[] }>('/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes');
  return slice?.endpoints?.[0]?.addresses[0];
}

async function list(client: RestClient, asJson: boolean, io: Io): Promise<number> {
  const secrets = await client.json<{ items: TokenSecret[] }>('GET', `${secretsPath}?fieldSelector=${encodeURIComponent(`type=${secretType}`)}`);
  const now = Date.now();
  const reader = (data: Readonly<Record<string, string>> = {}) => (key: string): string => Buffer.from(data[key] ?? '', 'base64').toString('utf8');
  if (asJson) {
    // Never the secrets.
    const tokens = secrets.items.map(({ metadata, data }) => {
      const text = reader(data);
      return { id: text('token-id'), expires: text('expiration') || null, nodeNames: text('node-names').split(',').filter(Boolean), oneTime: text('one-time') === 'true', used: metadata.annotations?.['cleat.dev/used-by'] !== undefined, replaces: text('replace') === 'true', description: text('description') };
    });
    io.out(`${JSON.stringify(tokens, null, 4)}\n`);
    return 0;
  }
  const rows = secrets.items.map(({ metadata, data }) => {
    const text = reader(data);
    const leftMs = Date.parse(text('expiration')) - now;
    const scope = [text('node-names'), text('one-time') === 'true' ? (metadata.annotations?.['cleat.dev/used-by'] === undefined ? 'once' : 'used') : '', text('replace') === 'true' ? 'replaces' : ''].filter(Boolean).join(' ');
    return [text('token-id'), Number.isNaN(leftMs) ? '<forever>' : leftMs <= 0 ? '<expired>' : humanAge(leftMs), text('expiration') || '<never>', scope || '<any>', text('description') || '<none>'];
  });
  io.out(columns([['ID', 'LEFT', 'EXPIRES', 'FOR', 'DESCRIPTION'], ...rows]));
  return 0;
}

async function remove(client: RestClient, ids: readonly string[], io: Io): Promise<number> {
  if (ids.length === 0) throw refuse('token', 'name the token to delete; see cleat token list');
  for (const given of ids) {
    const id = given.split('.')[0] ?? '';
    if (!/^[a-z0-9]{6}$/.test(id)) throw new StatusError('BadRequest', `"${id}" is no token id: expected six of a-z and 0-9, as cleat token list shows`);
    await client.json('DELETE', `${secretsPath}/bootstrap-token-${id}`);
    io.out(`token "${id}" deleted\n`);
  }
  return 0;
}
