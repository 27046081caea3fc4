import { createPublicKey, createPrivateKey } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request, type AgentOptions } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { exec, type ExecResult } from '#common/exec.ts';
import { issueCertificate, makeKey } from '#common/pki/certificate.ts';
import { loadOrCreateCa } from '#common/pki/store.ts';
import type { LabHost } from '../support/lab/host.ts';
import { createLab, type Lab } from '../support/lab/lab.ts';
import type { LabProcess } from '../support/lab/process.ts';

const executable = join(import.meta.dirname, '../../cleat');
const dayMs = 86_400_000;

/** One clear line or two on standard error, exit code 1, and nothing that only a programmer can read. */
function expectRefusal({ exitCode, stdout, stderr }: ExecResult, message: string | RegExp): void {
  if (typeof message === 'string') expect(stderr).toContain(message);
  else expect(stderr).toMatch(message);
  expect(stderr).toMatch(/^(error|Error from server \(\w+\)): /);
  expect(stdout + stderr).not.toMatch(/^\s+at .*:\d+/m);
  expect(exitCode).toBe(1);
}

describe('words on the command line, in the environment and in files', () => {
  let dir: string;
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'cleat-bad-input-'));
    const file = (name: string, text: string | Buffer): void => { writeFileSync(join(dir, name), text); };
    file('file', '');
    file('typo.yaml', 'prot: 1\n');
    file('noise.yaml', 'what is this\n');
    file('bad-port.yaml', 'port: many\n');
    file('tokens', 'secret-without-user\n');
    file('kubeconfig-text', 'not: [a kubeconfig\n');
    file('kubeconfig-list', '- a\n');
    file('kubeconfig-empty', '{}\n');
    file('kubeconfig-cert', JSON.stringify({ 'current-context': 'a', contexts: [{ name: 'a', context: { cluster: 'a', user: 'a' } }], clusters: [{ name: 'a', cluster: { server: 'https://127.0.0.1:1' } }], users: [{ name: 'a', user: { 'client-certificate-data': 'YmFk', 'client-key-data': 'YmFk' } }] }));
    file('kubeconfig-nobody-listens', JSON.stringify({ 'current-context': 'a', contexts: [{ name: 'a', context: { cluster: 'a' } }], clusters: [{ name: 'a', cluster: { server: 'https://127.0.0.1:1' } }] }));
  });
  afterAll(() => { rmSync(dir, { recursive: true, force: true }); });

  const run = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<ExecResult> => exec(executable, args.map((arg) => arg.replace('DIR', dir)), { env, timeoutMs: 20_000 });

  it.each<[string, string | RegExp, Record<string, string>?]>([
    ['destroy', 'unknown command "destroy" for "cleat"\nSee \'cleat --help\'.'],
    ['up --prot 1', 'unknown flag --prot; did you mean --port?'],
    ['up --wrong', "unknown flag --wrong. See 'cleat up --help'."],
    ['up --port', "flag --port needs a value. See 'cleat up --help'."],
    ['up --port 0', '--port: invalid value "0": expected a whole number from 1 to 65535'],
    ['up now', 'unexpected argument "now"; cleat up takes flags only'],
    ['up --node-name My_Host', '--node-name: invalid value "My_Host": expected lower case letters'],
    ['up --node-ip nowhere', '--node-ip: invalid value "nowhere": expected an IP address'],
    ['up --advertise-address https://x', 'expected an IP address'],
    ['up --pod-cidr 10.42.0.0', '--pod-cidr: invalid value "10.42.0.0": expected an IPv4 range such as 10.42.0.0/16'],
    ['up --pod-cidr 10.42.3.0/16', 'did you mean 10.42.0.0/16?'],
    ['up --service-cidr 10.42.128.0/17', '--pod-cidr 10.42.0.0/16 and --service-cidr 10.42.128.0/17 overlap'],
    ['up --runtime podman', '--runtime: invalid value "podman": expected cri'],
    ['up --runtime-endpoint localhost:80', 'expected the path of a socket such as /run/containerd/containerd.sock'],
    ['up --heartbeat-period 5', '--heartbeat-period: invalid value "5": expected a duration such as 500ms, 40s or 1m30s'],
    ['up', 'unknown environment variable CLEAT_PROT; did you mean CLEAT_PORT?', { CLEAT_PROT: '1' }],
    ['up', 'CLEAT_PORT: invalid value "many"', { CLEAT_PORT: 'many' }],
    ['up --config DIR/typo.yaml', /unknown setting "prot" in .*typo\.yaml, line 1; did you mean port\?/],
    ['up --config DIR/noise.yaml', /noise\.yaml, line 1: expected "name: value", got "what is this"/],
    ['up --config DIR/bad-port.yaml', /bad-port\.yaml: invalid value "many": expected a whole number/],
    ['up --config DIR/none.yaml', 'it is not there; check --config'],
    ['controlplane --state-dir DIR/file', /file cannot be used: it is no directory; make it a directory .* or choose another with --state-dir/],
    ['controlplane --state-dir /proc/cleat', '/proc/cleat cannot be used: the file system there takes no directories'],
    ['controlplane --state-dir DIR/s --kubeconfig DIR/file/k', /choose another with --kubeconfig/],
    ['controlplane --state-dir DIR/s --kubeconfig DIR/k --token-auth-file DIR/tokens', /--token-auth-file .*tokens: /],
    ['controlplane --state-dir DIR/s --kubeconfig DIR/k --bind-address 192.0.2.200', 'cannot listen on 192.0.2.200:6443: this host does not have that address; check --bind-address'],
    ['agent', "--server is missing: the line that 'cleat token create' prints on the control plane has it"],
    ['agent --server 10.0.0.1', '--server: invalid value "10.0.0.1": expected a URL such as https://10.0.0.1:6443'],
    ['agent --server https://10.0.0.1 --state-dir DIR/a', 'this host has not joined a cluster: run `cleat token create`'],
    ['agent --server https://10.0.0.1 --state-dir DIR/a --token abc', 'the join token is malformed: expected ID.SECRET.FINGERPRINT as `cleat token create` prints it'],
    ['get pods --kubeconfig DIR/none', "it is not there. Check --kubeconfig; 'cleat up' writes one"],
    ['get pods', 'KUBECONFIG names /nowhere, which is not there', { KUBECONFIG: '/nowhere' }],
    ['get pods --kubeconfig DIR/kubeconfig-text', /^error: the kubeconfig .* cannot be understood: [^\n]+ Copy it anew from the control plane, or name another with --kubeconfig\.\n$/],
    ['get pods --kubeconfig DIR/kubeconfig-list', 'cannot be understood: it is not a map'],
    ['get pods --kubeconfig DIR/kubeconfig-empty', 'names no cluster to talk to; set a current-context there, or give --server'],
    ['get pods --kubeconfig DIR/kubeconfig-cert', 'the certificates of the kubeconfig cannot be used'],
    ['get pods --kubeconfig DIR/kubeconfig-nobody-listens', "the connection to the server https://127.0.0.1:1 was refused. Is the control plane running there? Start it with 'cleat up'"],
    ['get pods --kubeconfig DIR/kubeconfig-empty -s http://10.0.0.1', '"http://10.0.0.1" is no address of a server'],
    ['get pods --wrong', "unknown flag: --wrong\nSee 'cleat get --help' for usage."],
    ['get pods --request-timeout soon', 'invalid argument "soon" for "--request-timeout" flag: expected a duration'],
  ])('cleat %s', async (line, message, env = {}) => {
    expectRefusal(await run(line.split(' '), env), message);
  });

  it('leave nothing running and nothing half-made', () => {
    expect(readdirSync(dir).filter((name) => name === 'a').flatMap((name) => readdirSync(join(dir, name, 'agent')))).toEqual([]);
  });

  it('needs root where it must, and says so first', async () => {
    const { exitCode, stderr } = await exec('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=+dac_override', '--ambient-caps=+dac_override', executable, 'up', '--state-dir', join(dir, 'u')]);
    expect([exitCode, stderr]).toEqual([1, 'error: cleat up needs root: it runs containers and programs the network. Start it with sudo\n']);
  });
});

describe('a host that is not as it should be', () => {
  let lab: Lab;
  let host: LabHost;
  beforeAll(async () => {
    lab = await createLab({ hosts: 1 });
    host = lab.host(0);
  });
  afterAll(async () => { await lab?.destroy(); });
  const cleat = (...args: string[]): Promise<ExecResult> => host.exec(executable, args, { timeoutMs: 30_000 });
  const left = (): Promise<string> => host.sh("ps -eo stat,comm | grep -v ^Z | grep -E 'containerd|node' || true");

  it.each([
    ['containerd', '/usr/bin/containerd', 'containerd is not installed, so no container can run; install it (Debian and Ubuntu: apt-get install containerd'],
    ['runc', '/usr/sbin/runc', 'runc is not installed, so no container can run; install it'],
    ['the CNI plugins', '/usr/lib/cni/ptp', 'no CNI plugins in /opt/cni/bin or /usr/lib/cni'],
    ['nft', '/usr/sbin/nft', 'Services cannot be routed on this host: '],
  ])('lacks %s', async (_, path, message) => {
    await host.sh(`mount --bind /dev/null ${path}`);
    try {
      expectRefusal(await cleat('up', '--proxy-mode=nftables'), message);
    } finally {
      await host.sh(`umount ${path}`);
    }
  });

  it('has another program on the port', async () => {
    const other = host.spawn('other', process.execPath, ['-e', 'require("net").createServer().listen(6443, () => console.log("listening"))']);
    await other.waitForOutput('listening');
    expectRefusal(await cleat('up'), 'cannot listen on [::]:6443: another process listens there; stop that one, or choose another port with --port');
    await other.kill();
  });

  it('cannot write its state', async () => {
    await host.sh('mkdir -p /run/ro && mount -t tmpfs -o ro tmpfs /run/ro');
    expectRefusal(await cleat('up', '--state-dir=/run/ro/cleat'), '/run/ro/cleat cannot be used: the file system is read-only');
    expectRefusal(await cleat('up', '--kubeconfig=/run/ro/kubeconfig'), '/run/ro cannot be used: the file system is read-only; make it a directory that this user may read and write, or choose another with --kubeconfig');
  });

  it('has an identity or a CA that is damaged', async () => {
    await host.sh('mkdir -p /run/bad/agent/pki /run/bad/server/pki && echo rubbish > /run/bad/agent/pki/node.crt && echo rubbish > /run/bad/server/pki/ca.crt && echo rubbish > /run/bad/server/pki/ca.key');
    expectRefusal(await cleat('agent', '--state-dir=/run/bad', '--server=https://127.0.0.1:6443'), "this host's identity in /run/bad/agent/pki cannot be used");
    expectRefusal(await cleat('controlplane', '--state-dir=/run/bad'), 'the CA /run/bad/server/pki/ca.crt cannot be used');
    expect(await host.sh('cat /run/bad/server/pki/ca.key')).toBe('rubbish\n');
  });

  it('waits for a runtime that somebody else should run, and ends when told', async () => {
    const up = host.spawn('up', executable, ['up', '--runtime-endpoint=/run/nothing.sock']);
    await up.waitForOutput('waiting for the container runtime; check that it is running, and --runtime-endpoint', 20_000);
    expect(up.output()).toContain('/run/nothing.sock');
    expect((await up.kill('SIGINT')).code).toBe(0);
  });

  it('is mended, and starts', async () => {
    const up = host.spawn('up', executable, ['up']);
    await up.waitForOutput('Cleat is up', 30_000);
    expect((await up.kill('SIGINT')).code).toBe(0);
    expectRefusal(await cleat('up', '--node-name=other'), 'this host joined as host0; start it without --node-name');
    expect((await cleat('down', '--purge')).exitCode).toBe(0);
    expect(await left()).toBe('');
  });
});

interface Answer { readonly http: number; readonly reason: string; readonly message: string }

describe('a server', () => {
  let lab: Lab;
  let host: LabHost;
  let server: LabProcess;
  let admin: AgentOptions;
  beforeAll(async () => {
    lab = await createLab({ hosts: 2, uplink: true });
    host = lab.host(0);
    server = host.spawn('controlplane', executable, ['controlplane']);
    await server.waitForOutput('The control plane is ready', 30_000);
    const config = parse(readFileSync(host.path('/etc/cleat/kubeconfig'), 'utf8')) as { clusters: { cluster: Record<string, string> }[]; users: { user: Record<string, string> }[] };
    const decode = (text = ''): string => Buffer.from(text, 'base64').toString();
    const user = config.users[0]?.user ?? {};
    admin = { ca: decode(config.clusters[0]?.cluster['certificate-authority-data']), cert: decode(user['client-certificate-data']), key: decode(user['client-key-data']) };
    expect(await ask('POST', configMaps, '{"metadata":{"name":"precious"},"data":{"a":"b"}}')).toMatchObject({ http: 201 });
  });
  afterAll(async () => { await lab?.destroy(); });

  const configMaps = '/api/v1/namespaces/default/configmaps';
  const ask = (method: string, path: string, body?: string | Buffer, headers: Record<string, string> = {}, identity: AgentOptions = admin): Promise<Answer> => new Promise((resolve, reject) => {
    const agent = new Agent(identity);
    const sent = request({ host: host.address, port: 6443, agent, method, path, headers: { ...(body !== undefined && { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }), ...headers } }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => { text += chunk; }).on('error', reject).on('end', () => {
        agent.destroy();
        const status = text.startsWith('{') ? JSON.parse(text) as { reason?: string; message?: string } : { message: text };
        resolve({ http: answer.statusCode ?? 0, reason: status.reason ?? '', message: status.message ?? '' });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
  const certificate = async (folder: string, lifetimeMs: number, ageMs: number): Promise<AgentOptions> => {
    const key = makeKey();
    const cert = issueCertificate(await loadOrCreateCa(folder, Date.now()), {
      subject: { commonName: 'admin', organizations: ['system:masters'] }, usage: 'client', publicKey: createPublicKey(createPrivateKey(key)), nowMs: Date.now() - ageMs, lifetimeMs,
    });
    return { ...admin, cert, key };
  };

  it.each<[string, string, string, string | undefined, Record<string, string>, number, string, string]>([
    ['broken JSON', 'POST', configMaps, '{"metadata":', {}, 400, 'BadRequest', ''],
    ['no object', 'POST', configMaps, '[]', {}, 400, 'BadRequest', ''],
    ['another kind', 'POST', configMaps, '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"x"}}', {}, 400, 'BadRequest', 'Secret'],
    ['a wrong type', 'POST', configMaps, '{"metadata":{"name":"x"},"data":{"a":1}}', {}, 400, 'BadRequest', 'cannot unmarshal number into Go struct field ConfigMap.data'],
    ['an unknown field, strictly', 'POST', `${configMaps}?fieldValidation=Strict`, '{"metadata":{"name":"x"},"dota":{}}', {}, 400, 'BadRequest', 'unknown field "dota"'],
    ['a bad name', 'POST', configMaps, '{"metadata":{"name":"X_Y"}}', {}, 422, 'Invalid', 'metadata.name'],
    ['a namespace that is not there', 'POST', '/api/v1/namespaces/nowhere/configmaps', '{"metadata":{"name":"x"}}', {}, 404, 'NotFound', 'namespaces "nowhere" not found'],
    ['what exists', 'POST', configMaps, '{"metadata":{"name":"precious"}}', {}, 409, 'AlreadyExists', 'precious'],
    ['a body that is too large', 'POST', configMaps, `{"metadata":{"name":"x"},"data":{"a":"${'x'.repeat(4 << 20)}"}}`, {}, 413, 'RequestEntityTooLarge', ''],
    ['a content type that is none', 'POST', configMaps, '{}', { 'content-type': 'text/plain' }, 415, 'UnsupportedMediaType', 'application/json'],
    ['a patch without its type', 'PATCH', `${configMaps}/precious`, '{}', {}, 415, 'UnsupportedMediaType', 'application/json'],
    ['an answer in an unknown format', 'GET', configMaps, undefined, { accept: 'text/html' }, 406, 'NotAcceptable', ''],
    ['a verb that is not served', 'TRACE', configMaps, undefined, {}, 405, 'MethodNotAllowed', ''],
    ['a path that is not served', 'GET', '/api/v1/toys', undefined, {}, 404, 'NotFound', ''],
    ['a bad selector', 'GET', `${configMaps}?labelSelector=a%3D%3D%3D`, undefined, {}, 400, 'BadRequest', 'unable to parse'],
    ['a bad limit', 'GET', `${configMaps}?limit=many`, undefined, {}, 400, 'BadRequest', 'limit'],
    ['a bad page', 'GET', `${configMaps}?limit=1&continue=rubbish`, undefined, {}, 400, 'BadRequest', 'continue'],
    ['a token that nobody has', 'GET', configMaps, undefined, { authorization: 'Bearer rubbish' }, 401, 'Unauthorized', 'Unauthorized'],
    ['an authorization that is none', 'GET', configMaps, undefined, { authorization: 'rubbish' }, 401, 'Unauthorized', 'Unauthorized'],
  ])('refuses %s', async (_, method, path, body, headers, http, reason, message) => {
    const identity = 'authorization' in headers ? { ca: admin.ca } : admin;
    const answer = await ask(method, path, body, headers, identity as AgentOptions);
    expect(answer).toMatchObject({ http, reason, message: expect.stringContaining(message) as string });
  });

  it('tells certificates apart', async () => {
    const own = join(host.stateDirectory, 'server/pki');
    const foreign = mkdtempSync(join(tmpdir(), 'cleat-foreign-ca-'));
    expect(await ask('GET', configMaps, undefined, {}, await certificate(own, dayMs, 0))).toMatchObject({ http: 200 });
    const expired = await ask('GET', configMaps, undefined, {}, await certificate(own, dayMs, 2 * dayMs));
    expect(expired).toMatchObject({ http: 401, reason: 'Unauthorized' });
    expect(await ask('GET', configMaps, undefined, {}, await certificate(foreign, dayMs, 0))).toMatchObject({ http: 401, reason: 'Unauthorized' });
    expect(await ask('GET', configMaps, undefined, {}, { ...(admin.ca !== undefined && { ca: admin.ca }) })).toMatchObject({ http: 401, reason: 'Unauthorized' });
    rmSync(foreign, { recursive: true });
  });

  it('tells the command line why, too', async () => {
    const file = host.path('/tmp/cleat-bad-input');
    mkdirSync(file, { recursive: true });
    const own = await certificate(join(host.stateDirectory, 'server/pki'), dayMs, 2 * dayMs);
    const kubeconfig = (user: object): string => {
      const path = join(file, 'kubeconfig');
      const ca = Buffer.from(String(admin.ca)).toString('base64');
      writeFileSync(path, JSON.stringify({ 'current-context': 'a', contexts: [{ name: 'a', context: { cluster: 'a', user: 'a' } }], clusters: [{ name: 'a', cluster: { server: 'https://127.0.0.1:6443', 'certificate-authority-data': ca } }], users: [{ name: 'a', user }] }));
      return '/tmp/cleat-bad-input/kubeconfig';
    };
    const cleat = (...args: string[]): Promise<ExecResult> => host.exec(executable, args, { timeoutMs: 20_000 });
    const base64 = (text: unknown): string => Buffer.from(String(text)).toString('base64');
    expectRefusal(await cleat('get', 'pods', '--kubeconfig', kubeconfig({ 'client-certificate-data': base64(own.cert), 'client-key-data': base64(own.key) })), 'error: You must be logged in to the server (Unauthorized)');
    expectRefusal(await cleat('get', 'pods', '--kubeconfig', kubeconfig({ token: 'rubbish' })), 'error: You must be logged in to the server (Unauthorized)');
    rmSync(file, { recursive: true });
    const apply = (text: string): Promise<ExecResult> => host.exec(executable, ['apply', '-f', '-'], { input: text, timeoutMs: 20_000 });
    expectRefusal(await apply('{broken'), 'error parsing standard input: ');
    expectRefusal(await apply('a: [\n'), 'error parsing standard input: document 1: ');
    expectRefusal(await apply('kind: Pod\n'), 'error validating "standard input": error validating data: apiVersion not set');
    expectRefusal(await apply('apiVersion: v1\nkind: Toy\nmetadata: {name: x}\n'), 'no matches for kind "Toy" in version "v1"');
    expectRefusal(await apply('apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: a, image: b, imagee: c}]}\n'), 'Error from server (BadRequest): error when creating "standard input": ');
    expectRefusal(await apply(`apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: ${'x'.repeat(4 << 20)}}\n`), /^Error from server \(RequestEntityTooLarge\): error when creating "standard input": /);
    expectRefusal(await apply(''), 'no objects found in -');
  });

  it('takes only agents with a good token, and tells each why', async () => {
    const agent = (token: string, address = host.address): Promise<ExecResult> => lab.host(1).exec(executable, ['agent', `--server=https://${address}:6443`, `--token=${token}`], { timeoutMs: 20_000 });
    const good = (await host.execOk(executable, ['token', 'create', '--token-only'])).trim();
    const [id = '', secret = '', fingerprint = ''] = good.split('.');
    expectRefusal(await agent(good.slice(1)), 'the join token is malformed');
    expectRefusal(await agent(`${id}.${secret}.${'0'.repeat(64)}`), /is not the control plane that the token is for: its CA is [0-9a-f]{16}…, the token names 0{16}…; check --server, or make a token there/);
    expectRefusal(await agent(`zzzzzz.${secret}.${fingerprint}`), /token/);
    expectRefusal(await agent(`${id}.${'z'.repeat(16)}.${fingerprint}`), /token/);
    const expired = { metadata: { name: 'bootstrap-token-expird' }, type: 'bootstrap.kubernetes.io/token', stringData: { 'token-id': 'expird', 'token-secret': secret, 'usage-bootstrap-authentication': 'true', expiration: '2020-01-01T00:00:00Z' } };
    expect(await ask('POST', '/api/v1/namespaces/kube-system/secrets', JSON.stringify(expired))).toMatchObject({ http: 201 });
    expectRefusal(await agent(`expird.${secret}.${fingerprint}`), /token/);
    const waiting = lab.host(1).spawn('agent', executable, ['agent', '--server=https://127.0.0.1:6443', `--token=${good}`]);
    await waiting.waitForOutput('cannot reach the control plane at 127.0.0.1:6443: connect ECONNREFUSED 127.0.0.1:6443; check --server, that it is running, and that no firewall is in between');
    await waiting.kill('SIGTERM');
    expect(await lab.host(1).sh("ps -eo stat,comm | grep -v ^Z | grep containerd || true")).toBe('');
  });

  it('outlives bytes that are no requests, and loses nothing', async () => {
    for (const bytes of [Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.from([22, 3, 1, 255, 255]), Buffer.alloc(100_000, 7), Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')]) {
      await new Promise<void>((done) => {
        const socket = connect(6443, host.address, () => { socket.end(bytes); });
        socket.on('error', () => undefined).on('close', () => { done(); }).resume();
      });
    }
    expect(await ask('GET', `/${'x'.repeat(100_000)}`)).toMatchObject({ http: 431 });
    expect(await ask('GET', configMaps, undefined, { 'x-long': 'x'.repeat(1 << 20) }).catch(() => ({ http: 431 }))).toMatchObject({ http: 431 });
    expect(server.running).toBe(true);
    expect(await ask('GET', '/readyz')).toMatchObject({ http: 200 });
    await server.kill('SIGKILL');
    server = host.spawn('controlplane', executable, ['controlplane']);
    await server.waitForOutput('The control plane is ready', 30_000);
    expect(await ask('GET', `${configMaps}/precious`)).toMatchObject({ http: 200 });
    expect(server.output()).not.toMatch(/^\s+at .*:\d+|"level":50/m);
  });
});
