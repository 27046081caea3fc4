import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { issueCertificate, makeCaCertificate, makeKey } from '#common/pki/certificate.ts';
import { dispatch } from './dispatch.ts';
import { errorText } from './error-text.ts';
import { commands, usage } from './registry.ts';
import type { Io } from './types.ts';

/**
 * Every verb of the registry, with the examples of its help, against servers that fail in all ways. A verb that is
 * added is walked by itself: give it examples.
 */
interface Said { readonly code: number; readonly out: string; readonly err: string }

let dir: string;
let server: Server;
let answer: (request: IncomingMessage, response: ServerResponse) => void = (_request, response) => { response.end(); };
let certPem = '';

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'cleat-walk-'));
  const [caKey, key] = [makeKey(), makeKey()];
  const ca = makeCaCertificate(caKey, 'walk', Date.now(), 1e9);
  certPem = issueCertificate({ certPem: ca, certificate: new X509Certificate(ca), key: createPrivateKey(caKey) }, { subject: { commonName: 's' }, publicKey: createPublicKey(createPrivateKey(key)), usage: 'server', names: ['127.0.0.1'], nowMs: Date.now(), lifetimeMs: 1e9 });
  server = createServer({ key, cert: certPem }, (request, response) => {
    request.resume();
    answer(request, response);
  });
  // kubectl's upgrades are answered like anything else.
  server.on('upgrade', (request, socket) => {
    socket.on('error', () => undefined);
    socket.end('HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbusy');
    request.resume();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  writeFileSync(join(dir, 'web.yaml'), 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {a: b}\n');
  writeFileSync(join(dir, 'docker-compose.yml'), 'services: {web: {image: web}}\n');
  kubeconfigOf('kubeconfig', `https://127.0.0.1:${String((server.address() as AddressInfo).port)}`, ca);
});
afterAll(async () => {
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
  rmSync(dir, { recursive: true, force: true });
});

function kubeconfigOf(name: string, address: string, ca: string): string {
  const path = join(dir, name);
  writeFileSync(path, `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "${address}", certificate-authority-data: ${Buffer.from(ca).toString('base64')}}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: home, context: {cluster: c, user: u}}]
current-context: home
`);
  return path;
}

async function cleat(words: readonly string[], interrupted: AbortSignal = new AbortController().signal, stdin = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n'): Promise<Said> {
  let [out, err] = ['', ''];
  const io: Io = { out: (text) => { out += String(text); return true; }, err: (text) => { err += text; return true; }, env: { KUBECONFIG: join(dir, 'kubeconfig'), KUBE_EDITOR: 'true' }, stdin: Readable.from([Buffer.from(stdin)]), terminal: false, interrupted };
  try {
    return { code: await dispatch(words, { commands, usage }, io), out, err };
  } catch (error) {
    return { code: interrupted.aborted ? 130 : 1, out, err: `${err}${errorText(error)}\n` };
  }
}

/** Verbs that ask a cluster say so in their help; the others are about this host, and are not to be tried on one that somebody uses. */
const isOfCluster = (help: string): boolean => help.includes('--context STRING');
const helpOf = async (...words: readonly string[]): Promise<string> => (await cleat([...words, '--help'])).out;

/** The examples of a verb and of its own verbs, as words. What a shell does around them is left out. */
async function examplesOf(verb: string): Promise<string[][]> {
  const help = await helpOf(verb);
  const below = [...help.split(/^Verbs:\n/m)[1]?.matchAll(/^ {2}(\w+) /gm) ?? []].map(([, word = '']) => word);
  const helps = below.length > 0 ? await Promise.all(below.map((word) => helpOf(verb, word))) : [help];
  const found = helps.flatMap((text) => (text.split(/^Examples:\n/m)[1]?.split(/\n\n/)[0] ?? '').split('\n').filter((line) => line.includes('cleat ')).map(wordsOf));
  return found.length > 0 ? found : [[verb]];
}

function wordsOf(line: string): string[] {
  const own = line.slice(line.indexOf('cleat ') + 'cleat '.length).replace(/ [|>].*|\)$/, '');
  return [...own.matchAll(/(?:[^\s'"]|'[^']*'|"[^"]*")+/g)].map(([word]) => word.replaceAll(/['"]/g, '').replace(/^\S+\.ya?ml$/, join(dir, 'web.yaml')));
}

/** Puts flags before what is a command of somebody else. */
function withFlags(words: readonly string[], ...flags: readonly string[]): string[] {
  const end = words.indexOf('--');
  return end < 0 ? [...words, ...flags] : [...words.slice(0, end), ...flags, ...words.slice(end)];
}

/** What must hold of every failure: it is told, for people. */
function expectFailure(words: readonly string[], { code, err, out }: Said): void {
  expect.soft(code, `${words.join(' ')} → ${out}${err}`).not.toBe(0);
  expect.soft(err + out, words.join(' ')).toMatch(/\S/);
  const told = (err + out).replaceAll(/^error: the server's answer is not as expected.*$/gm, '');
  expect.soft(told, words.join(' ')).not.toMatch(/^\s+at .*:\d+|\bundefined\b|\[object |Cannot read prop|is not a function|not iterable|Unexpected token|JSON at position|ECONN|ENOENT|EISDIR|AbortError|This operation was aborted/m);
}

const status = (code: number, reason: string, message: string): string => JSON.stringify({ kind: 'Status', apiVersion: 'v1', status: 'Failure', reason, message, code });
const replies = (code: number, body: string, headers: Readonly<Record<string, string>> = {}) => (_request: IncomingMessage, response: ServerResponse): void => { response.writeHead(code, headers).end(body); };
const situations: Readonly<Record<string, { readonly answer: typeof answer; readonly says: RegExp; readonly thorough?: boolean; readonly not?: readonly string[] }>> = {
  'answers 401': { answer: replies(401, status(401, 'Unauthorized', 'Unauthorized')), says: /You must be logged in|Unauthorized/ },
  'answers 403': { answer: replies(403, status(403, 'Forbidden', 'it is forbidden')), says: /it is forbidden/ },
  'is busy': { answer: replies(429, status(429, 'TooManyRequests', 'it is busy'), { 'retry-after': '0' }), says: /it is busy|busy/ },
  'is not ready': { answer: replies(503, 'no healthy upstream'), says: /no healthy upstream|busy/ },
  'is something else': { answer: replies(200, '<html>Welcome to\nnginx</html>'), says: /Welcome to nginx.*\n.*no answer of a Kubernetes API|busy|not taken for a backup/ },
  'is not found': { answer: replies(404, '<html>Not Found</html>'), says: /<html>Not Found.*\n.*no answer of a Kubernetes API|busy/ },
  'says what makes no sense': { answer: replies(200, '{}'), says: /\S/, thorough: true, not: ['certs'] },
  'breaks off': { answer: (_request, response) => { response.writeHead(200, { 'content-length': '100' }).write('{"kind":', () => { response.destroy(); }); }, says: /closed the connection|busy/ },
  'hangs up': { answer: (request) => { request.socket.destroy(); }, says: /closed the connection|busy/, thorough: true },
};

/** These serve until they are interrupted, whatever the server does. */
const endless = ['proxy'];
const verbs = Object.keys(commands);

// A loaded machine is slow, not wrong.
vi.setConfig({ testTimeout: 60_000 });

describe('every verb', () => {
  it.each(verbs)('%s: has help, and refuses flags that it does not know', async (verb) => {
    expect(await helpOf(verb)).toMatch(/^Usage:\n {2}cleat /m);
    expect((await cleat(['help', verb])).out).toBe(await helpOf(verb));
    const examples = isOfCluster(await helpOf(verb)) ? await examplesOf(verb) : [[verb]];
    for (const words of examples.map((one) => withFlags(one, '--no-such-flag'))) {
      const said = await cleat(words);
      expectFailure(words, said);
      expect.soft(said.err, words.join(' ')).toMatch(/no-such-flag/);
    }
  });

  it.each(verbs)('%s: refuses values that are none', async (verb) => {
    const help = await helpOf(verb);
    if (!isOfCluster(help)) return;
    const [example = [verb]] = await examplesOf(verb);
    for (const [, flag = ''] of help.matchAll(/--([a-z-]+) (?:INT|DURATION)/g)) {
      const words = withFlags(example, `--${flag}=many`);
      const said = await cleat(words);
      expectFailure(words, said);
      expect.soft(said.err, words.join(' ')).toContain(`invalid argument "many" for "--${flag}" flag`);
    }
  });
});

describe.each(Object.entries(situations))('a server that %s', (_name, { answer: one, says, thorough, not = [] }) => {
  it.each(verbs)('%s', async (verb) => {
    if (!isOfCluster(await helpOf(verb)) || not.includes(verb) || endless.includes(verb)) return;
    let asked = 0;
    answer = (request, response) => { asked++; one(request, response); };
    const examples = await examplesOf(verb);
    for (const words of thorough ? examples : examples.slice(0, 1)) {
      asked = 0;
      const said = await cleat(words);
      if (asked === 0) continue;
      expectFailure(words, said);
      expect.soft(said.err + said.out, words.join(' ')).toMatch(says);
    }
  });
});

describe('a server that is silent', () => {
  it.each(verbs)('%s', async (verb) => {
    if (!isOfCluster(await helpOf(verb)) || endless.includes(verb)) return;
    const [example = [verb]] = await examplesOf(verb);
    const asked = Promise.withResolvers<undefined>();
    answer = () => { asked.resolve(undefined); };
    const late = await cleat(withFlags(example, '--request-timeout=20ms'));
    // Some ask nobody.
    if (late.code === 0) return;
    expectFailure(example, late);
    const interrupt = new AbortController();
    answer = () => { interrupt.abort(new Error('SIGINT')); };
    expect.soft((await cleat(example, interrupt.signal)).code, example.join(' ')).toBe(interrupt.signal.aborted ? 130 : late.code);
  });
});

describe('no server', () => {
  const asking = async (server: string): Promise<string> => (await cleat(['get', 'pods', '--server', server])).err;
  it('says why', async () => {
    expect(await asking('https://127.0.0.1:1')).toMatch(/was refused. Is the control plane running there/);
    expect(await asking('https://nosuch.invalid')).toMatch(/cannot be resolved/);
    expect(await asking('nosuch')).toMatch(/is no address of a server/);
    const plain = createTcpServer((socket) => { socket.on('error', () => undefined).once('data', () => { socket.end('SSH-2.0-OpenSSH_9.9\r\n'); }); });
    await once(plain.listen(0, '127.0.0.1'), 'listening');
    expect(await asking(`https://127.0.0.1:${String((plain.address() as AddressInfo).port)}`)).toMatch(/speaks no TLS: something else listens there/);
    const closed = once(plain, 'close');
    plain.close();
    await closed;
    const other = makeCaCertificate(makeKey(), 'other', Date.now(), 1e9);
    const path = kubeconfigOf('other-ca', `https://127.0.0.1:${String((server.address() as AddressInfo).port)}`, other);
    expect((await cleat(['get', 'pods', '--kubeconfig', path])).err).toMatch(/its certificate comes from another CA/);
  });
});

describe('a kubeconfig that is broken', () => {
  it.each<[string, RegExp]>([
    ['', /cannot be understood|names no cluster/], ['[]', /cannot be understood: it is not a map/], ['a: [', /cannot be understood/], ['{"a":', /cannot be understood/], ['\0\x01', /cannot be understood/],
    ['current-context: gone', /names no cluster|context "gone"/], ['clusters: 3\ncontexts: x\nusers: {}', /names no cluster/],
    ['clusters: [{name: c, cluster: {server: "https://127.0.0.1:1", certificate-authority: /no/such}}]\ncontexts: [{name: a, context: {cluster: c}}]\ncurrent-context: a', /cannot read certificate-authority \/no\/such of the kubeconfig: no such file or directory/],
    ['clusters: [{name: c, cluster: {server: "https://127.0.0.1:1", certificate-authority-data: bm8=}}]\ncontexts: [{name: a, context: {cluster: c, user: gone}}]\ncurrent-context: a', /\S/],
  ])('%j', async (text, says) => {
    const path = join(dir, 'broken');
    writeFileSync(path, text);
    const said = await cleat(['get', 'pods', '--kubeconfig', path]);
    expectFailure(['get'], said);
    expect(said.err).toMatch(says);
  });
});
