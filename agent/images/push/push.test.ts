import { createHash, createPrivateKey, createPublicKey, randomBytes, X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, open, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { blobsOf, encodeParts, partsOf, rangeOf, type PartsOfFile } from '#common/archive-parts.ts';
import { LineReader, type PushAnswer, type PushCommand } from '#common/image-push.ts';
import { silentLog } from '#common/log.ts';
import { issueCertificate, makeCaCertificate, makeKey, type CertificateAuthority } from '#common/pki/certificate.ts';
import { channelPair } from '#common/streams/pair.ts';
import { imageArchive } from '#install/images.ts';
import type { HeldLayer } from '#agent/runtimes/types.ts';
import type { Identity } from '#agent/session/identity.ts';
import { ReceivedBlobs } from './blobs.ts';
import { fetchBlob } from './peers.ts';
import { servePush } from './serve-push.ts';

const hourMs = 3_600_000;
const digestOf = (data: Uint8Array): string => `sha256:${createHash('sha256').update(data).digest('hex')}`;

function authority(): CertificateAuthority {
  const key = makeKey();
  const certPem = makeCaCertificate(key, 'cleat-ca', Date.now(), 24 * hourMs);
  return { certPem, certificate: new X509Certificate(certPem), key: createPrivateKey(key) };
}
function identity(ca: CertificateAuthority, nodeName: string, organization = 'system:nodes', lifetimeMs = hourMs): Identity {
  const keyPem = makeKey();
  return { nodeName, keyPem, caPem: ca.certPem, certPem: issueCertificate(ca, { subject: { commonName: `system:node:${nodeName}`, organizations: [organization] }, publicKey: createPublicKey(createPrivateKey(keyPem)), usage: 'client', nowMs: Date.now(), lifetimeMs }) };
}

const ca = authority();
const archive = imageArchive({ name: 'docker.io/library/app:1', architecture: 'amd64', files: [{ path: 'x', type: 'file', mode: 0o644, data: randomBytes(300_000) }], entrypoint: ['/x'] });
let dir: string;
let clock: ManualClock;
let parts: PartsOfFile;
let digest: string;
let blob: Buffer;
const ends: (() => unknown)[] = [];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cleat-push-'));
  clock = new ManualClock(Date.now());
  await writeFile(join(dir, 'app.tar'), archive);
  const file = await open(join(dir, 'app.tar'));
  parts = await partsOf(file, archive.length, new AbortController().signal);
  [digest = ''] = blobsOf(parts).keys();
  blob = await bytesOf(rangeOf(file, parts.offsets.get(digest) ?? 0, blobsOf(parts).get(digest) ?? 0));
  await file.close();
});
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
  await rm(dir, { recursive: true, force: true });
});

async function bytesOf(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

interface Member {
  readonly folder: string;
  readonly blobs: ReceivedBlobs;
  /** Archives that it made images of. */
  readonly loaded: Buffer[];
  held: Map<string, HeldLayer>;
  ask(command: PushCommand, body?: Uint8Array): Promise<PushAnswer>;
  /** As when the connection breaks. */
  cut(): Promise<void>;
  end(): Promise<void>;
}

/** A node that takes part in a push. */
function member(name: string, own = identity(ca, name), blobs = new ReceivedBlobs(clock, join(dir, name), 'boot')): Member {
  const [near, far] = channelPair([0, 1]);
  const gone = new AbortController();
  const loaded: Buffer[] = [];
  const made: Member = {
    folder: join(dir, name), blobs, loaded, held: new Map(),
    async ask(command, body) {
      await near.channel(0).write(Buffer.from(`${JSON.stringify(command)}\n`));
      for (let at = 0; body && at < body.length; at += 50_000) await near.channel(0).write(body.subarray(at, at + 50_000));
      return JSON.parse(await answers.line() ?? '{}') as PushAnswer;
    },
    async cut() {
      near.close(new Error('cut'));
      gone.abort(new Error('cut'));
      await over;
    },
    async end() {
      await near.channel(0).end();
      await over;
    },
  };
  const answers = new LineReader(near.channel(1));
  const driver = { imageId: (image: string) => Promise.resolve(image === 'app:1' ? 'id' : undefined), async *exportImage() { for (let at = 0; at < archive.length; at += 65_536) yield archive.subarray(at, at + 65_536); }, heldLayers: () => Promise.resolve(made.held) };
  const load = async (source: AsyncIterable<Uint8Array>): Promise<string[]> => { loaded.push(await bytesOf(source)); return ['app:1']; };
  const over = servePush({ driver, blobs, load, identity: () => Promise.resolve(own), log: silentLog }, far.channel(0), (answer) => far.channel(1).write(Buffer.from(`${JSON.stringify(answer)}\n`)), gone.signal).catch(() => undefined);
  ends.push(() => made.cut());
  return made;
}
const offer = (...nodes: string[]): PushCommand => ({ do: 'offer', archive: encodeParts(parts), nodes });
const put = (): PushCommand => ({ do: 'put', digest, size: blob.length });
const fetch = (node: string, port = 0): PushCommand => ({ do: 'fetch', digest, size: blob.length, node, hosts: ['127.0.0.1'], port });
const ok: PushAnswer = {};

describe('nodes that take part in a push', () => {
  it('get a blob from here or from each other, and make the image that was sent', async () => {
    const [one, two] = [member('one'), member('two')];
    const { held, shared, port } = await one.ask(offer('two'));
    expect([held, shared]).toEqual([[], []]);
    expect((await two.ask(offer())).port).toBeUndefined();
    expect(await two.ask({ do: 'import' })).toMatchObject({ error: { code: 'Conflict' } });
    expect(await two.ask(fetch('one', port))).toMatchObject({ error: { code: 'NotFound' } });
    expect([await one.ask(put(), blob), await two.ask(fetch('one', port))]).toEqual([ok, ok]);
    for (const node of [one, two]) expect(await node.ask({ do: 'import' })).toEqual({ names: ['app:1'] });
    expect([one, two].map(({ loaded }) => loaded[0]?.equals(archive))).toEqual([true, true]);
    await Promise.all([one.end(), two.end()]);
    expect(await readdir(dir)).toEqual(['app.tar']);
    await expect(fetchBlob(identity(ca, 'two'), { node: 'one', hosts: ['127.0.0.1'], port: port ?? 0 }, { digest, size: 1 }, 0, () => Promise.resolve(), new AbortController().signal)).rejects.toMatchObject({ code: 'ServiceUnavailable' });
  });

  it('hand on what their runtime has, and an image that is theirs', async () => {
    const [one, two, three] = [member('one'), member('two'), member('three')];
    one.held.set(digest, async function* held() { yield blob; });
    three.held.set(digest, 'in place');
    const first = await one.ask(offer('two'));
    expect([first.held, first.shared, (await three.ask(offer('two'))).shared]).toEqual([[digest], [digest], []]);
    await two.ask(offer());
    expect(await two.ask(fetch('one', first.port))).toEqual(ok);
    for (const node of [one, two, three]) await node.ask({ do: 'import' });
    expect([one, two, three].map(({ loaded }) => loaded[0]?.length)).toEqual([archive.length, archive.length, archive.length - Math.ceil(blob.length / 512) * 512]);

    const [giver, taker] = [member('giver'), member('taker')];
    expect(await giver.ask({ do: 'share', image: 'absent', nodes: [] })).toMatchObject({ error: { code: 'NotFound' } });
    const given = await giver.ask({ do: 'share', image: 'app:1', nodes: ['taker'] });
    expect([given.shared, given.archive?.pieces]).toEqual([[digest], parts.pieces]);
    await taker.ask(offer());
    expect(await taker.ask(fetch('giver', given.port))).toEqual(ok);
    await Promise.all([giver.end(), taker.end(), one.end(), two.end(), three.end()]);
    expect(await readdir(dir)).toEqual(['app.tar', 'taker']);
  });

  it('keep for a while what came before the connection broke', async () => {
    const blobs = new ReceivedBlobs(clock, join(dir, 'one'), 'boot');
    const first = member('one', undefined, blobs);
    await first.ask(offer());
    await first.ask(put(), blob);
    await first.cut();
    const second = member('one', undefined, blobs);
    expect(await second.ask(offer())).toMatchObject({ held: [digest], begun: {}, shared: [digest] });
    await second.cut();
    await blobs.sweep();
    expect(await readdir(join(dir, 'one', 'boot'))).toHaveLength(1);
    await clock.advance(2 * hourMs);
    await blobs.sweep();
    expect(await readdir(dir)).toEqual(['app.tar']);
  });

  it('go on in the middle of a blob, from wherever it comes, and begin anew where that is of no use', async () => {
    const blobs = new ReceivedBlobs(clock, join(dir, 'one'), 'boot');
    const folder = join(dir, 'one', 'boot');
    /** What another agent, killed or alive, left of it. */
    const leave = async (data: Uint8Array): Promise<void> => {
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, `${digest.slice('sha256:'.length)}.0011`), data);
    };
    const begun = async (): Promise<number> => (await blobs.begun([digest])).get(digest) ?? 0;
    const cut = async (bytes: number, from: number): Promise<void> => {
      const broken = member('one', undefined, blobs);
      await broken.ask(offer());
      broken.ask({ ...put(), from } as PushCommand, blob.subarray(from, from + bytes)).catch(() => undefined);
      await vi.waitFor(async () => { expect(await Promise.all((await readdir(folder)).map(async (name) => (await stat(join(folder, name))).size))).toContain(from + bytes); }, 15_000);
      await broken.cut();
    };
    await cut(50_000, 0);
    expect(await begun()).toBe(50_000);
    await cut(100_000, 50_000);
    expect([await begun(), (await readdir(folder)).length]).toEqual([150_000, 1]);
    const last = member('one', undefined, blobs);
    expect(await last.ask(offer())).toMatchObject({ held: [], begun: { [digest]: 150_000 } });
    // More than is there, as when two pushes go on with it.
    expect(await last.ask({ ...put(), from: 200_000 } as PushCommand, blob.subarray(200_000))).toMatchObject({ error: { code: 'Conflict' } });
    expect(await last.ask({ ...put(), from: 150_000 } as PushCommand, blob.subarray(150_000))).toEqual(ok);
    expect(await last.ask({ do: 'import' })).toEqual({ names: ['app:1'] });
    await last.end();
    expect([last.loaded[0]?.equals(archive), await readdir(dir)]).toEqual([true, ['app.tar']]);

    const giver = member('giver');
    const { port = 0 } = await giver.ask({ do: 'share', image: 'app:1', nodes: ['one'] });
    for (const left of [blob.subarray(0, 100_000), randomBytes(100_000)]) {
      const taker = member('one', undefined, blobs);
      await leave(left);
      await taker.ask(offer());
      expect(await taker.ask(fetch('giver', port))).toEqual(ok);
      await taker.ask({ do: 'import' });
      await taker.end();
      expect(taker.loaded[0]?.equals(archive)).toBe(true);
    }
    await leave(randomBytes(100_000));
    const spoilt = member('one', undefined, blobs);
    await spoilt.ask(offer());
    expect(await spoilt.ask({ ...put(), from: 100_000 } as PushCommand, blob.subarray(100_000))).toMatchObject({ error: { code: 'Invalid' } });
    expect([await begun(), await spoilt.ask(put(), blob)]).toEqual([0, ok]);
    await spoilt.ask({ do: 'import' });
    await Promise.all([spoilt.end(), giver.end()]);
    expect(await readdir(join(dir, 'one')).catch(() => 'gone')).toBe('gone');
  });

  it('bring the same image in two pushes at once', async () => {
    const blobs = new ReceivedBlobs(clock, join(dir, 'one'), 'boot');
    const both = [member('one', undefined, blobs), member('one', undefined, blobs)] as const;
    for (const one of both) expect(await one.ask(offer())).toMatchObject({ held: [] });
    expect(await Promise.all(both.map((one) => one.ask(put(), blob)))).toEqual([ok, ok]);
    expect(await both[0].ask({ do: 'import' })).toEqual({ names: ['app:1'] });
    await both[0].end();
    expect(await both[1].ask({ do: 'import' })).toEqual({ names: ['app:1'] });
    await both[1].end();
    expect(await readdir(dir)).toEqual(['app.tar']);
  });

  it('remove what an agent left that was killed, and what came before the host was booted', async () => {
    const root = join(dir, 'one');
    await mkdir(join(root, 'boot'), { recursive: true });
    await mkdir(join(root, 'former'));
    const names = ['a'.repeat(64), `${'b'.repeat(64)}.0011`, 'c'.repeat(64)];
    for (const name of names) await writeFile(join(root, 'boot', name), 'x');
    await writeFile(join(root, 'former', 'a'.repeat(64)), 'x');
    await utimes(join(root, 'boot', 'c'.repeat(64)), 0, 0);
    await new ReceivedBlobs(clock, root, 'boot').sweep();
    expect([await readdir(root), await readdir(join(root, 'boot'))]).toEqual([['boot'], names.slice(0, 2)]);
    await new ReceivedBlobs(clock, root, 'next').sweep();
    expect(await readdir(dir)).toEqual(['app.tar']);
  });

  it('refuse what is not what its digest says, too much, and what nobody offered; the next command is understood all the same', async () => {
    const one = member('one');
    expect(await one.ask(put(), blob)).toMatchObject({ error: { code: 'BadRequest' } });
    await one.ask(offer());
    const wrong = Buffer.from(blob);
    wrong[9] = (wrong[9] ?? 0) ^ 1;
    expect(await one.ask(put(), wrong)).toMatchObject({ error: { code: 'Invalid', message: `what came is not ${digest}` } });
    expect(await one.ask({ do: 'put', digest, size: blob.length + 9 }, Buffer.concat([blob, blob.subarray(0, 9)]))).toMatchObject({ error: { code: 'Invalid' } });
    expect(await one.ask({ do: 'put', digest: digestOf(wrong), size: wrong.length }, wrong)).toMatchObject({ error: { code: 'BadRequest' } });
    expect(await one.ask(offer())).toMatchObject({ error: { code: 'BadRequest' } });
    expect(await one.ask(put(), blob)).toEqual(ok);
    expect(await readdir(join(one.folder, 'boot'))).toEqual([digest.slice(7)]);
  });
});

describe('who asks a node for blobs', () => {
  const signal = new AbortController().signal;
  const keep = async (source: AsyncIterable<Uint8Array>): Promise<void> => { await bytesOf(source); };
  async function giver(): Promise<{ node: string; hosts: string[]; port: number }> {
    const one = member('one');
    const { port = 0 } = await one.ask(offer('two'));
    await one.ask(put(), blob);
    return { node: 'one', hosts: ['not an address', '127.0.0.1'], port };
  }

  it('is a node of the cluster that takes part, or gets nothing', async () => {
    const peer = await giver();
    const wanted = { digest, size: blob.length };
    await fetchBlob(identity(ca, 'two'), peer, wanted, 0, keep, signal);
    const stranger = authority();
    const refused: [string, Identity][] = [
      ['another cluster', { ...identity(stranger, 'two'), caPem: ca.certPem }], ['no node', identity(ca, 'two', 'system:masters')], ['another node', identity(ca, 'three')], ['expired', identity(ca, 'two', 'system:nodes', -hourMs)],
    ];
    for (const [who, own] of refused) await expect(fetchBlob(own, peer, wanted, 0, keep, signal), who).rejects.toMatchObject({ code: 'ServiceUnavailable', message: expect.stringMatching(/closed|broke off/) as string });
    await expect(new Promise((resolve, reject) => {
      const bare = connect({ host: '127.0.0.1', port: peer.port, rejectUnauthorized: false, ALPNProtocols: ['cleat-blob/1'] });
      bare.on('data', resolve).on('error', reject).on('close', () => { reject(new Error('closed')); });
      bare.write(`${digest}\n`);
    })).rejects.toThrow();
    await expect(fetchBlob(identity(ca, 'two'), peer, { digest: digestOf(Buffer.from('x')), size: 1 }, 0, keep, signal)).rejects.toMatchObject({ code: 'NotFound' });
    for (const junk of ['../../etc/shadow\n', `${'x'.repeat(500)}\n`, '\n', '\0\0\0']) {
      const { keyPem: key, certPem: cert } = identity(ca, 'two');
      const text = await new Promise<string>((resolve) => {
        const socket = connect({ host: '127.0.0.1', port: peer.port, key, cert, rejectUnauthorized: false, ALPNProtocols: ['cleat-blob/1'] });
        let said = '';
        socket.on('data', (chunk: Buffer) => { said += chunk.toString(); }).on('error', () => undefined).on('close', () => { resolve(said); });
        socket.end(junk);
      });
      expect(text).toBe('-\n');
    }
    await fetchBlob(identity(ca, 'two'), peer, wanted, 0, keep, signal);
  });

  it('takes nothing from one that is not the node, lies, sends less or more, breaks off or says nonsense', async () => {
    const two = member('two');
    await two.ask(offer());
    const liar = async (own: Identity, say: (socket: TLSSocket) => void): Promise<number> => {
      const server = createServer({ key: own.keyPem, cert: own.certPem, requestCert: true, rejectUnauthorized: false, ALPNProtocols: ['cleat-blob/1'] }, (socket) => { socket.on('error', () => undefined).once('data', () => { say(socket); }); });
      await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
      ends.push(() => { server.close(); });
      const address = server.address();
      return typeof address === 'object' ? address?.port ?? 0 : 0;
    };
    const size = String(blob.length);
    const lies: [string, (socket: TLSSocket) => void][] = [
      ['Invalid', (socket) => { socket.end(Buffer.concat([Buffer.from(`${size}\n`), randomBytes(blob.length)])); }],
      ['ServiceUnavailable', (socket) => { socket.end(Buffer.concat([Buffer.from(`${size}\n`), blob.subarray(0, 9000)])); }],
      ['ServiceUnavailable', (socket) => { socket.write(`${size}\n`); socket.write(blob.subarray(0, 9000)); setImmediate(() => socket.destroy()); }],
      ['NotFound', (socket) => { socket.end('5\nhello'); }], ['NotFound', (socket) => { socket.end('who are you?\n'); }], ['ServiceUnavailable', (socket) => { socket.end(); }],
    ];
    for (const [code, say] of lies) expect(await two.ask(fetch('one', await liar(identity(ca, 'one'), say)))).toMatchObject({ error: { code } });
    const whole = (socket: TLSSocket): void => { socket.end(Buffer.concat([Buffer.from(`${size}\n`), blob])); };
    for (const own of [identity(ca, 'three'), identity(authority(), 'one'), identity(ca, 'one', 'system:masters'), identity(ca, 'one', 'system:nodes', -hourMs)]) expect(await two.ask(fetch('one', await liar(own, whole)))).toMatchObject({ error: { code: 'Forbidden' } });
    expect(await two.ask({ do: 'import' })).toMatchObject({ error: { code: 'Conflict' } });
    expect(await two.ask(fetch('one', await liar(identity(ca, 'one'), whole)))).toEqual(ok);
  });
});
