import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { cp, rm, writeFile } from 'node:fs/promises';
import { connect as connectTcp, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EdgeClient, fromGrpc } from '#agent/session/edge-client.ts';
import { Servers } from '#agent/session/servers.ts';
import type { PodReport } from '#agent/session/types.ts';
import type { Pod } from '#api/gen/types.ts';
import { configMaps, leases, nodes, pods, runtimeClasses, secrets, services } from '#api/kinds/resources.ts';
import { StatusError } from '#common/errors.ts';
import { issueCertificate, makeKey } from '#common/pki/certificate.ts';
import { finishRotation, loadClusterCa, rotateCa } from '#common/pki/cluster-ca.ts';
import { loadOrCreateCa } from '#common/pki/store.ts';
import { authorityOf } from '#controlplane/dispatcher/peer.ts';
import { loadEdge } from '#proto/edge/v1/services.ts';
import { CalendarClock, EdgeLab, type LabAgent } from './edge-lab.ts';
import { freePort } from '#test/support/free-port.ts';

let lab: EdgeLab;
beforeEach(async () => { lab = await EdgeLab.start(); });
afterEach(async () => { await lab.close(); });

const pod = (name: string, nodeName: string, more: Partial<Pod['spec']> = {}): Pod => ({
  apiVersion: 'v1', kind: 'Pod', metadata: { namespace: 'default', name }, spec: { nodeName, containers: [{ name: 'c', image: 'i' }], ...more },
});
const names = (objects: readonly { metadata?: { name?: string | undefined } | undefined }[]): string[] => objects.map((o) => o.metadata?.name ?? '').sort();

describe('a node', () => {
  it('joins, shows up as a Node with a Lease, and gets what it needs and nothing else', async () => {
    lab.cluster.put(secrets, { metadata: { namespace: 'default', name: 'used' }, data: { a: 'YQ==' } });
    lab.cluster.put(secrets, { metadata: { namespace: 'default', name: 'unused' } });
    lab.cluster.put(configMaps, { metadata: { namespace: 'default', name: 'late' } });
    lab.cluster.put(services, { metadata: { namespace: 'default', name: 'svc' } });
    lab.cluster.put(runtimeClasses, { metadata: { name: 'sealed' }, handler: 'runsc' });
    lab.cluster.put(pods, pod('mine', 'a', { containers: [{ name: 'c', image: 'i', envFrom: [{ secretRef: { name: 'used' } }] }] }));
    lab.cluster.put(pods, pod('other', 'b'));
    const agent = await lab.agent('a');
    await lab.until(() => agent.checkpoint.known && lab.cluster.find(nodes, undefined, 'a')?.status?.capacity !== undefined, 'the node');
    expect(names(agent.checkpoint.list(pods))).toEqual(['mine']);
    expect(names(agent.checkpoint.list(secrets))).toEqual(['used']);
    expect(names(agent.checkpoint.list(services))).toEqual(['svc']);
    expect(agent.checkpoint.get(runtimeClasses, undefined, 'sealed')?.handler).toBe('runsc');
    const node = lab.cluster.find(nodes, undefined, 'a')!;
    expect(node.metadata?.labels).toEqual({ 'kubernetes.io/hostname': 'a', 'kubernetes.io/os': 'linux' });
    expect(node.metadata?.annotations?.['cleat.dev/public-key-sha256']).toMatch(/^[0-9a-f]{64}$/);
    await lab.until(() => lab.cluster.find(leases, 'kube-node-lease', 'a') !== undefined, 'the lease');
    await lab.until(() => names(agent.checkpoint.list(nodes)).includes('a'), 'itself');

    lab.cluster.put(pods, pod('second', 'a', { volumes: [{ name: 'v', configMap: { name: 'late' } }] }));
    await lab.until(() => agent.checkpoint.get(configMaps, 'default', 'late') !== undefined, 'the config map');
    lab.cluster.put(configMaps, { metadata: { namespace: 'default', name: 'late' }, data: { k: 'v' } });
    await lab.until(() => agent.checkpoint.get(configMaps, 'default', 'late')?.data?.['k'] === 'v', 'the change');
    lab.cluster.remove(pods, 'default', 'second');
    await lab.until(() => agent.checkpoint.list(configMaps).length === 0, 'the removal');
    expect(names(agent.checkpoint.list(pods))).toEqual(['mine']);
  });
});

describe('contact', () => {
  const one = { 'cleat.dev/disconnect-policy': 'replace', 'cleat.dev/disconnect-copies': 'one' };

  it('is as old as the last heartbeat that was answered, which takes a Lease that is stored', async () => {
    const agent = await connected('a');
    await lab.until(() => agent.contact.silentMs() !== undefined, 'the first answer');
    lab.cluster.failures.push(...Array.from({ length: 1000 }, () => new StatusError('ServiceUnavailable', 'no writes')));
    const { lastMs } = { lastMs: agent.contact.nowMs() - (agent.contact.silentMs() ?? 0) };
    await lab.until(() => (agent.contact.silentMs() ?? 0) > 300, 'silence: heartbeats come every 100 ms');
    lab.cluster.failures.length = 0;
    await lab.until(() => agent.contact.nowMs() - (agent.contact.silentMs() ?? 0) > lastMs + 300, 'an answer');
  });

  it('is not given while it is not known whether a pod of which there may be one copy is still this node\'s', async () => {
    const stored = lab.cluster.put(pods, { ...pod('db', 'a'), metadata: { ...pod('db', 'a').metadata, annotations: one } });
    const agent = await connected('a');
    await lab.until(() => agent.contact.silentMs() !== undefined, 'the first answer');
    // It is being removed, and the news is still on its way to the dispatcher.
    const get = lab.cluster.get.bind(lab.cluster);
    lab.cluster.get = async (resource, ...key) => {
      const found = await get(resource, ...key);
      return (resource.plural === 'pods' ? { ...found, metadata: { ...found.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } } : found) as never;
    };
    await lab.until(() => (agent.contact.silentMs() ?? 0) > 500, 'silence');
    lab.cluster.put(pods, { ...stored, metadata: { ...stored.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } });
    await lab.until(() => (agent.contact.silentMs() ?? 0) < 300, 'an answer');
    expect(agent.checkpoint.get(pods, 'default', 'db')?.metadata?.deletionTimestamp).toBeDefined();
  });
});

describe('a fence', () => {
  const taint = { key: 'node.kubernetes.io/out-of-service', value: 'fenced', effect: 'NoExecute' };
  const byHand = { ...taint, value: 'nodeshutdown' };
  const fence = (name: string, id: string): void => {
    const node = lab.cluster.find(nodes, undefined, name)!;
    lab.cluster.put(nodes, { ...node, metadata: { ...node.metadata, annotations: { ...node.metadata?.annotations, 'cleat.dev/fenced': id } }, spec: { ...node.spec, taints: [byHand, taint] } });
  };
  const fenceOf = (name: string): string | undefined => lab.cluster.find(nodes, undefined, name)?.metadata?.annotations?.['cleat.dev/fenced'];

  it('is carried out before anything else when the host comes back, and then lifted', async () => {
    lab.cluster.put(pods, pod('old', 'a'));
    const agent = await connected('a');
    await lab.until(() => agent.checkpoint.list(pods).length === 1, 'the pod');
    const done = Promise.withResolvers<undefined>();
    const fenced: string[] = [];
    agent.fencing = {
      fence: async (forget) => {
        await forget();
        fenced.push(names(agent.checkpoint.list(pods)).join());
        await done.promise;
      },
    };
    agent.stop.abort();
    await lab.until(() => lab.dispatcher.connected().length === 0);
    fence('a', 'f1');
    lab.cluster.remove(pods, 'default', 'old');
    lab.cluster.put(pods, pod('new', 'a'));
    lab.cluster.remove(leases, 'kube-node-lease', 'a');
    const again = lab.session(agent, 'a');
    const stop = new AbortController();
    const running = again.start(stop.signal);
    await lab.until(() => fenced.length === 1, 'the fence to be carried out');
    lab.cluster.writes.length = 0;
    await lab.until(() => lab.logged.some(({ msg }) => msg.includes('declared dead and is back')));
    expect([again.connected, names(agent.checkpoint.list(pods)), lab.cluster.find(leases, 'kube-node-lease', 'a'), lab.cluster.writes]).toEqual([false, [], undefined, []]);
    done.resolve(undefined);
    await lab.until(() => again.connected, 'the session');
    expect([fenced, fenceOf('a'), lab.cluster.find(nodes, undefined, 'a')?.spec?.taints]).toEqual([[''], undefined, [byHand]]);
    await lab.until(() => names(agent.checkpoint.list(pods)).join() === 'new', 'the new pod');
    expect(lab.recorded.some((line) => line.includes('FenceLifted'))).toBe(true);
    stop.abort();
    await running;
  });

  it('leaves nothing to be started again of which there may be one copy only', async () => {
    const agent = await connected('a');
    agent.fencing = { fence: (forget) => forget() };
    agent.stop.abort();
    await lab.until(() => lab.dispatcher.connected().length === 0);
    const one = pod('db', 'a');
    lab.cluster.put(pods, { ...one, metadata: { ...one.metadata, annotations: { 'cleat.dev/disconnect-policy': 'replace', 'cleat.dev/disconnect-copies': 'one' } } });
    lab.cluster.put(pods, pod('many', 'a'));
    fence('a', 'f1');
    const stop = new AbortController();
    const again = lab.session(agent, 'a');
    const running = again.start(stop.signal);
    await lab.until(() => names(agent.checkpoint.list(pods)).includes('many'), 'the pods');
    expect([fenceOf('a'), names(agent.checkpoint.list(pods)), lab.cluster.find(pods, 'default', 'db')]).toEqual([undefined, ['many'], undefined]);
    stop.abort();
    await running;
  });

  it('ends the session of a host that is not dead, which then carries it out', async () => {
    const agent = await connected('a');
    let fences = 0;
    agent.fencing = { fence: async (forget) => { fences++; await forget(); } };
    agent.stop.abort();
    await lab.until(() => lab.dispatcher.connected().length === 0);
    const stop = new AbortController();
    const session = lab.session(agent, 'a');
    const running = session.start(stop.signal);
    await lab.until(() => session.connected, 'the session');
    for (const id of ['f1', 'f2']) {
      fence('a', id);
      await lab.until(() => fenceOf('a') === undefined && session.connected, `fence ${id} to be lifted`);
    }
    expect(fences).toBe(2);
    stop.abort();
    await running;
  });
});

const report = (object: Pod, status: PodReport['status'], gone = false): PodReport => ({
  namespace: object.metadata?.namespace ?? '', name: object.metadata?.name ?? '', uid: object.metadata?.uid ?? '', status, gone,
});
const never = new AbortController().signal;
const logQuery = (name: string) => ({ namespace: 'default', podName: name, podUid: 'u', container: 'c', follow: true, previous: false, timestamps: false });

async function connected(host: string): Promise<LabAgent> {
  const agent = await lab.agent(host);
  await lab.until(() => agent.session.connected && lab.cluster.find(nodes, undefined, host)?.status !== undefined, 'the session');
  return agent;
}

describe('joining', () => {
  it('is refused with a sentence that helps', async () => {
    const good = lab.token();
    const [id = '', , fingerprint = ''] = good.split('.');
    await expect(lab.join('a', '')).rejects.toThrow(/has not joined.*cleat token create/);
    await expect(lab.join('a', 'nonsense')).rejects.toThrow(/malformed/);
    await expect(lab.join('a', `${id}.${'x'.repeat(16)}.${fingerprint}`)).rejects.toThrow(/unknown, expired or wrong.*cleat token create/);
    await expect(lab.join('a', lab.token('2001-01-01T00:00:00Z'))).rejects.toThrow(/unknown, expired or wrong/);
    await expect(lab.join('a', good, 'Not_A_Name')).rejects.toThrow(/no node name.*--node-name/);
    await lab.join('a', good);
    await expect(lab.join('b', good, 'a')).rejects.toThrow(/node a belongs to another host.*--node-name.*cleat delete node a/);
    await expect(lab.join('a', '', 'renamed')).rejects.toThrow(/joined as a.*start it without --node-name/);
  });

  it('sends nothing to a server whose CA is not the token\'s', async () => {
    const [id = '', secret = ''] = lab.token().split('.');
    let bytesToServer = 0;
    const proxy = createServer((socket) => {
      const server = connectTcp(lab.port, '127.0.0.1');
      socket.on('data', (chunk) => { bytesToServer += chunk.length; });
      socket.pipe(server).pipe(socket);
      socket.on('error', () => undefined);
      server.on('error', () => undefined);
    }).listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    const { port } = proxy.address() as AddressInfo;
    Object.defineProperty(lab, 'url', { value: `https://127.0.0.1:${String(port)}` });
    await expect(lab.join('a', `${id}.${secret}.${'0'.repeat(64)}`)).rejects.toThrow(/not the control plane that the token is for/);
    expect(bytesToServer).toBeLessThan(2000); // a handshake
    expect(lab.logged.some((line) => line.msg === 'node joined')).toBe(false);
    proxy.close();
  });

  it('keeps to what the token is for', async () => {
    const token = (more: Readonly<Record<string, string>>): string => lab.token(undefined, more);
    const named = token({ 'node-names': 'pi-*-a,other' });
    await expect(lab.join('c', named)).rejects.toThrow(/is for pi-\*-a, other, and not for c;.*--node-name/);
    await expect(lab.join('pi-a', named)).rejects.toThrow(/not for pi-a/);
    await lab.join('pi-1-a', named);
    await lab.join('other', named);
    const once = token({ 'one-time': 'true' });
    await lab.join('first', once);
    await expect(lab.join('second', once)).rejects.toThrow(/for one host, and another one has used it.*cleat token create/);
    // Its answer was lost: the host has its key, and no certificate.
    await rm(join(lab.folder, 'first', 'agent', 'pki', 'node.crt'));
    await lab.join('first', once);
  });

  it('gives the place of a host that is gone to another one, and only to that', async () => {
    const old = await connected('a');
    const place = lab.token(undefined, { 'node-names': 'a', 'one-time': 'true', replace: 'true' });
    await expect(lab.join('b', lab.token(), 'a')).rejects.toThrow(/--replace=a/);
    await lab.join('b', place, 'a');
    await expect(lab.join('c', place, 'a')).rejects.toThrow(/another one has used it/);
    const key = lab.cluster.find(nodes, undefined, 'a')?.metadata?.annotations?.['cleat.dev/public-key-sha256'];
    await lab.until(() => lab.dispatcher.connected().length === 0, 'the session of the old one to end');
    await lab.until(() => lab.logged.some(({ level, err }) => level === 50 && err?.includes('node a belongs to another host') === true), 'the old one to be refused');
    expect(lab.dispatcher.connected()).toEqual([]);
    old.stop.abort();
    expect(lab.cluster.find(nodes, undefined, 'a')?.metadata?.annotations?.['cleat.dev/public-key-sha256']).toBe(key);
  });

  it('of a copied disk is noticed, and the copy is told what to do', async () => {
    const first = await connected('a');
    await cp(join(lab.folder, 'a'), join(lab.folder, 'copy'), { recursive: true });
    const copy = await lab.agent('copy', lab.clock, 'a');
    await lab.until(() => lab.logged.some(({ level, err }) => level === 50 && /another host connects with the key of node a: was a disk.*agent\/pki/.test(err ?? '')), 'one of them to be refused');
    expect(lab.recorded.some((line) => line.includes('DuplicateIdentity'))).toBe(true);
    await lab.until(() => first.session.connected !== copy.session.connected, 'the other to be left in peace');
  });

  it('waits for a control plane that is not there yet, and later needs none', async () => {
    await lab.crash();
    const joining = lab.join('a');
    await lab.until(() => lab.logged.some((line) => line.msg === 'joining has to wait' && line.err?.includes('ECONNREFUSED') === true));
    await lab.listen(lab.port);
    const identity = await joining;
    await lab.crash();
    expect(await lab.join('a')).toEqual(identity);
    await writeFile(join(lab.folder, 'a', 'agent', 'pki', 'node.key'), makeKey());
    await expect(lab.join('a')).rejects.toThrow(/cannot be used.*restore the folder/);
    await lab.listen(lab.port);
  });

  it('is limited per address', async () => {
    lab.clock.freeze();
    const refused = await Promise.allSettled(Array.from({ length: 25 }, (_, i) => {
      const client = new EdgeClient(loadEdge(), { host: '127.0.0.1', port: lab.port }, { caPem: lab.ca.certPem });
      return client.enrol({ token: `abcdef.${'x'.repeat(16)}`, nodeName: `n${String(i)}`, certificateSigningRequest: Buffer.alloc(0) }, never).finally(() => { client.close(); });
    }));
    const reasons = refused.map((result) => (result.status === 'rejected' ? (result.reason as StatusError).code : 'joined'));
    expect(reasons.filter((reason) => reason === 'Unauthorized')).toHaveLength(20);
    expect(reasons.filter((reason) => reason === 'TooManyRequests')).toHaveLength(5);
  });
});

describe('certificates', () => {
  const expired = (name: string, keyPem: string): string => issueCertificate(lab.ca, {
    subject: { commonName: `system:node:${name}`, organizations: ['system:nodes'] }, publicKey: createPublicKey(createPrivateKey(keyPem)), usage: 'client', nowMs: 0, lifetimeMs: Date.UTC(2020),
  });

  it('that have expired renew themselves when the key is known', async () => {
    const agent = await connected('a');
    agent.stop.abort();
    await lab.until(() => lab.dispatcher.connected().length === 0);
    const old = { ...agent.identity, certPem: expired('a', agent.identity.keyPem) };
    await writeFile(join(lab.folder, 'a', 'agent', 'pki', 'node.crt'), old.certPem);
    const again = await lab.agent('a');
    await lab.until(() => again.session.connected, 'the renewal');
    expect((await lab.join('a', '')).certPem).not.toBe(old.certPem);
  });

  it('of a host that was off for three years renew by its key, and its name is still its own', async () => {
    const agent = await connected('a');
    agent.stop.abort();
    await lab.until(() => lab.dispatcher.connected().length === 0);
    await lab.crash();
    lab.clock.pass(3 * 365 * 86_400_000);
    await lab.listen(lab.port);
    await expect(lab.join('b', lab.token(new Date(lab.clock.now() + 60_000).toISOString()), 'a')).rejects.toThrow(/node a belongs to another host/);
    const again = await lab.agent('a', lab.clock);
    await lab.until(() => again.session.connected, 'the renewal');
    expect(Date.parse(new X509Certificate((await lab.join('a', '')).certPem).validTo)).toBeGreaterThan(lab.clock.now());
  });

  it('follow a new CA: of hosts that are there at once, of one that was away when it comes back, of one that has yet to join', async () => {
    const [here, away] = [await connected('here'), await connected('away')];
    away.stop.abort();
    const late = lab.token();
    const first = lab.ca;
    await lab.crash();
    await rotateCa(join(lab.folder, 'pki'), Date.now());
    await expect(rotateCa(join(lab.folder, 'pki'), Date.now())).rejects.toThrow(/being replaced already/);
    lab.ca = await loadClusterCa(join(lab.folder, 'pki'), Date.now());
    expect(lab.ca.trusted.map((certificate) => certificate.fingerprint256)).toEqual([first.certificate.fingerprint256, lab.ca.certificate.fingerprint256]);
    await lab.listen(lab.port);
    const issuedByNew = async (name: string): Promise<boolean> => new X509Certificate((await lab.join(name, '')).certPem).verify(lab.ca.certificate.publicKey);
    await lab.until(() => lab.logged.some(({ msg }) => msg === 'certificate renewed'), 'the renewal');
    expect([await issuedByNew('here'), await issuedByNew('away'), here.session.connected]).toEqual([true, false, true]);
    const back = await lab.agent('away');
    await lab.until(() => lab.logged.filter(({ msg }) => msg === 'certificate renewed').length === 2, 'the other renewal');
    expect([await issuedByNew('away'), back.session.connected]).toEqual([true, true]);
    await lab.join('late', late);
    const authority = (name: string): string | undefined => lab.cluster.find(nodes, undefined, name)?.metadata?.annotations?.['cleat.dev/certificate-authority'];
    expect(authority('here')).toBe(authorityOf(lab.ca.certificate));
    await lab.until(() => authority('away') === authority('here'), 'the control plane to know');

    await lab.crash();
    const finishedMs = Date.now();
    await finishRotation(join(lab.folder, 'pki'), finishedMs);
    lab.ca = await loadClusterCa(join(lab.folder, 'pki'), Date.now());
    expect([lab.ca.trusted.length, lab.ca.rotatedAtMs]).toEqual([1, finishedMs]);
    await lab.listen(lab.port);
    await lab.until(() => lab.dispatcher.connected().length === 2, 'both with the new CA alone');
    for (const name of ['here', 'away']) await expect.poll(async () => (await lab.join(name, '')).caPem, { timeout: 15_000 }).toBe(lab.ca.certPem);
  });

  it('renew while there is time, in a session that goes on, and serve the next one', async () => {
    const clock = new CalendarClock();
    const agent = await lab.agent('a', clock);
    await lab.until(() => agent.session.connected, 'the session');
    const kept = async (): Promise<string> => new X509Certificate((await lab.join('a', '')).certPem).serialNumber;
    const shown = (): string[] => [...lab.sockets].map((socket) => socket.getPeerX509Certificate()?.serialNumber ?? '');
    const logged = (msg: string): number => lab.logged.filter((line) => line.msg === msg).length;
    const first = await kept();
    clock.pass(200 * 86_400_000);
    expect(await kept()).toBe(first);
    clock.pass(50 * 86_400_000);
    await lab.until(() => logged('certificate renewed') === 1, 'the renewal');
    const second = await kept();
    expect(second).not.toBe(first);
    expect(agent.session.connected).toBe(true);
    expect(logged('connected to the control plane')).toBe(1);
    expect(shown()).toContain(first);

    clock.pass(-250 * 86_400_000);
    await lab.crash();
    await lab.listen(lab.port);
    await lab.until(() => logged('connected to the control plane') === 2, 'the next session');
    expect(shown()).toEqual([second]);
    expect(logged('certificate renewed')).toBe(1);
  });

  it('do not renew when the node is unknown; the agent says how to join again', async () => {
    const identity = await lab.join('ghost');
    await writeFile(join(lab.folder, 'ghost', 'agent', 'pki', 'node.crt'), expired('ghost', identity.keyPem));
    await lab.crash();
    await lab.listen(lab.port); // forgets the reservation
    const agent = await lab.agent('ghost');
    await lab.until(() => lab.logged.some((line) => line.level === 50 && /join again.*--token/.test(line.err ?? '')), 'the advice');
    expect(agent.session.connected).toBe(false);
  });

  it('of strangers open nothing', async () => {
    const otherCa = await loadOrCreateCa(join(lab.folder, 'other'), Date.now());
    const keyPem = makeKey();
    const issue = (ca: typeof otherCa, commonName: string, organizations: string[]): string => issueCertificate(ca, { subject: { commonName, organizations }, publicKey: createPublicKey(createPrivateKey(keyPem)), usage: 'client', nowMs: Date.now(), lifetimeMs: 1e9 });
    const strangers = [{}, { keyPem, certPem: issue(otherCa, 'system:node:a', ['system:nodes']) }, { keyPem, certPem: issue(lab.ca, 'system:node:a', ['system:masters']) }, { keyPem, certPem: issue(lab.ca, 'a', ['system:nodes']) }];
    for (const pair of strangers) {
      const client = new EdgeClient(loadEdge(), { host: '127.0.0.1', port: lab.port }, { caPem: lab.ca.certPem, ...pair });
      for (const call of [client.session(), client.tunnel()] as unknown as Duplex[]) {
        await expect(once(call.resume(), 'end')).rejects.toThrow(/client certificate.*is required/);
      }
      await expect(client.renew({ certificateSigningRequest: Buffer.alloc(0) }, never)).rejects.toThrow(/only a node with a certificate/);
      client.close();
    }
  });

  it('of strangers that say nothing keep nobody out', async () => {
    const idle = Array.from({ length: 100 }, () => connectTls({ port: lab.port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] }));
    for (const socket of idle) socket.on('error', () => undefined);
    await lab.until(() => lab.sockets.size >= 64, 'the strangers');
    await lab.join('late');
    expect(lab.sockets.size).toBeLessThan(80);
    for (const socket of idle) socket.destroy();
  });

  it('of a name that another host took over are refused', async () => {
    const agent = await connected('a');
    agent.stop.abort();
    lab.cluster.put(nodes, { metadata: { name: 'a', annotations: { 'cleat.dev/public-key-sha256': 'f'.repeat(64) } } });
    const again = await lab.agent('a');
    await lab.until(() => lab.logged.some((line) => line.level === 50 && /belongs to another host/.test(line.err ?? '')));
    expect(again.session.connected).toBe(false);
  });
});

describe('reports', () => {
  it('become pod status, once, and leave what others decide', async () => {
    const agent = await connected('a');
    const object = lab.cluster.put(pods, { ...pod('p', 'a'), status: { conditions: [{ type: 'PodScheduled', status: 'True' }, { type: 'Ready', status: 'False' }], qosClass: 'Burstable' } });
    await lab.until(() => agent.checkpoint.get(pods, 'default', 'p') !== undefined);
    lab.cluster.failures.push(new StatusError('ServiceUnavailable', 'try again'));
    agent.reportPod(report(object, { phase: 'Running', conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' }] }));
    const status = () => lab.cluster.find(pods, 'default', 'p')?.status;
    await lab.until(() => status()?.phase === 'Running');
    expect(status()).toEqual({ phase: 'Running', qosClass: 'Burstable', conditions: [{ type: 'PodScheduled', status: 'True' }, { type: 'Ready', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' }] });
    const writes = lab.cluster.writes.length;
    agent.reportPod(report(object, { phase: 'Running', conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: '2027-01-01T00:00:00Z' }] }));
    agent.reportPod({ ...report(object, { phase: 'Failed' }), uid: 'another' });
    agent.events.emit({ kind: 'Pod', namespace: 'default', name: 'p', uid: object.metadata?.uid ?? '', fieldPath: 'spec.containers{c}', type: 'Normal', reason: 'Started', message: 'started', atMs: 1 });
    await lab.until(() => lab.recorded.length > 0, 'the event');
    expect(lab.recorded).toEqual(['a Pod p spec.containers{c} Normal Started started']);
    expect(lab.cluster.writes.slice(writes).filter((write) => write.includes('pods'))).toEqual([]);
    expect(status()?.phase).toBe('Running');
  });

  it('win over what others wrote while the node seemed lost, and have times that make sense', async () => {
    const agent = await connected('a');
    const object = lab.cluster.put(pods, { ...pod('p', 'a'), metadata: { namespace: 'default', name: 'p', creationTimestamp: new Date().toISOString() } });
    const ready = () => lab.cluster.find(pods, 'default', 'p')?.status?.conditions?.[0];
    await lab.until(() => agent.checkpoint.get(pods, 'default', 'p') !== undefined);
    agent.reportPod(report(object, { phase: 'Running', conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: '2093-01-01T00:00:00Z' }] }));
    await lab.until(() => ready()?.status === 'True');
    expect(Date.parse(ready()?.lastTransitionTime ?? '')).toBeLessThanOrEqual(Date.now());
    const stored = lab.cluster.find(pods, 'default', 'p')!;
    lab.cluster.put(pods, { ...stored, status: { ...stored.status, conditions: [{ type: 'Ready', status: 'False' }] } });
    await lab.until(() => ready()?.status === 'True', 'the correction');
  });

  it('of a pod that is gone remove it, only if it is being deleted', async () => {
    const agent = await connected('a');
    const kept = lab.cluster.put(pods, pod('kept', 'a'));
    const deleted = lab.cluster.put(pods, { ...pod('deleted', 'a'), metadata: { namespace: 'default', name: 'deleted', deletionTimestamp: '2026-01-01T00:00:00Z' } });
    agent.reportPod(report(kept, { phase: 'Succeeded' }, true));
    agent.reportPod(report(deleted, { phase: 'Succeeded' }, true));
    await lab.until(() => lab.cluster.find(pods, 'default', 'deleted') === undefined && lab.cluster.find(pods, 'default', 'kept')?.status?.phase === 'Succeeded');
    expect(lab.cluster.writes.filter((write) => write.startsWith('delete'))).toEqual(['delete pods default/deleted']);
  });

  it('keep the Node as the node says, write nothing for heartbeats, and do not bring back a Node that was deleted', async () => {
    const agent = await connected('a');
    const ready = () => lab.cluster.find(nodes, undefined, 'a')?.status?.conditions?.[0]?.status;
    const nodeWrites = () => lab.cluster.writes.filter((write) => write.includes('nodes'));
    const before = nodeWrites();
    agent.reportNode({ capacity: { cpu: '1' }, conditions: [{ type: 'Ready', status: 'True', lastHeartbeatTime: '2026-01-01T00:00:01Z' }] });
    const renewed = lab.cluster.find(leases, 'kube-node-lease', 'a')?.spec?.renewTime;
    await lab.until(() => lab.cluster.find(leases, 'kube-node-lease', 'a')?.spec?.renewTime !== renewed, 'a heartbeat');
    expect(nodeWrites()).toEqual(before);

    const node = lab.cluster.find(nodes, undefined, 'a')!;
    lab.cluster.put(nodes, { ...node, status: { ...node.status, conditions: [{ type: 'Ready', status: 'Unknown' }, { type: 'NetworkUnavailable', status: 'False' }] } });
    await lab.until(() => ready() === 'True', 'the correction');
    expect(lab.cluster.find(nodes, undefined, 'a')?.status?.conditions?.map((c) => c.type)).toEqual(['Ready', 'NetworkUnavailable']);

    lab.cluster.remove(nodes, undefined, 'a');
    agent.reportNode({ capacity: { cpu: '2' } });
    agent.events.emit({ kind: 'Node', namespace: '', name: 'a', uid: 'a', type: 'Normal', reason: 'After', message: '', atMs: 1 });
    await lab.until(() => lab.recorded.length > 0);
    expect(lab.cluster.find(nodes, undefined, 'a')).toBeUndefined();
  });
});

describe('sessions', () => {
  it('carry a thousand pods and large secrets in parts', async () => {
    for (let i = 0; i < 1000; i++) lab.cluster.put(pods, pod(`p${String(i)}`, 'a', { imagePullSecrets: [{ name: `s${String(i % 12)}` }] }));
    for (let i = 0; i < 12; i++) lab.cluster.put(secrets, { metadata: { namespace: 'default', name: `s${String(i)}` }, data: { k: 'x'.repeat(1 << 20) } });
    const agent = await lab.agent('a');
    await lab.until(() => agent.checkpoint.known, 'the state');
    expect(agent.checkpoint.list(pods)).toHaveLength(1000);
    expect(agent.checkpoint.list(secrets)).toHaveLength(12);
  });

  it('are opened anew after a gap, and after the connection is cut; nothing is missed, reports are repeated, Events merged', async () => {
    const agent = await connected('a');
    await agent.checkpoint.complete([], 999);
    const first = lab.cluster.put(pods, pod('one', 'a'));
    await lab.until(() => agent.checkpoint.get(pods, 'default', 'one') !== undefined, 'the new session');
    agent.reportPod(report(first, { phase: 'Running' }));
    await lab.until(() => lab.cluster.find(pods, 'default', 'one')?.status?.phase === 'Running');

    await lab.crash();
    await lab.until(() => !agent.session.connected);
    lab.cluster.put(pods, pod('two', 'a'));
    lab.cluster.put(pods, { ...first, status: { phase: 'Pending' } });
    agent.reportPod(report(lab.cluster.find(pods, 'default', 'two')!, { phase: 'Running' }));
    expect(agent.checkpoint.get(pods, 'default', 'one')).toBeDefined();
    const happens = (message: string): void => { agent.events.emit({ kind: 'Node', namespace: '', name: 'a', uid: 'a', type: 'Normal', reason: 'Alone', message, atMs: 1 }); };
    for (let i = 0; i < 900; i++) happens(String(i));
    for (let i = 0; i < 3; i++) happens('again');
    await lab.listen(lab.port);
    await lab.until(() => lab.recorded.some((line) => line === 'a Node a Normal Alone again x3'), 'what happened meanwhile');
    expect(lab.recorded.filter((line) => line.startsWith('a Node a Normal Alone'))).toHaveLength(901);
    await lab.until(() => ['one', 'two'].every((name) => lab.cluster.find(pods, 'default', name)?.status?.phase === 'Running'), 'the repetition');
    await lab.until(() => names(agent.checkpoint.list(pods)).join() === 'one,two', 'both pods');
  });

  it('do not write the echo of a status to the agent\'s disk', async () => {
    const agent = await connected('a');
    const object = lab.cluster.put(pods, pod('p', 'a'));
    await lab.until(() => agent.checkpoint.get(pods, 'default', 'p') !== undefined);
    const { revision } = agent.checkpoint;
    for (const phase of ['Pending', 'Running']) lab.cluster.put(pods, { ...object, status: { phase, podIP: '10.42.0.2', containerStatuses: [{ name: 'c', image: 'i', imageID: '', ready: phase === 'Running', restartCount: 0 }] } });
    lab.cluster.put(configMaps, { metadata: { namespace: 'default', name: 'unrelated' } });
    const other = lab.cluster.put(nodes, { metadata: { name: 'b' }, status: { addresses: [{ type: 'InternalIP', address: '10.0.0.2' }] } });
    await lab.until(() => agent.checkpoint.get(nodes, undefined, 'b') !== undefined);
    const afterNode = agent.checkpoint.revision;
    expect(afterNode - revision).toBeLessThanOrEqual(2);
    lab.cluster.put(nodes, { ...other, status: { ...other.status, conditions: [{ type: 'Ready', status: 'True' }] } });
    lab.cluster.put(services, { metadata: { namespace: 'default', name: 'marker' } });
    await lab.until(() => agent.checkpoint.get(services, 'default', 'marker') !== undefined);
    expect(agent.checkpoint.revision).toBe(afterNode + 1);
    lab.cluster.put(pods, { ...object, status: { phase: 'Failed', reason: 'Evicted' } });
    await lab.until(() => agent.checkpoint.get(pods, 'default', 'p')?.status?.phase === 'Failed', 'the end of a pod, which must outlive a reboot');
  });

  it('of one node: the newest wins', async () => {
    const agent = await connected('a');
    const client = new EdgeClient(loadEdge(), { host: '127.0.0.1', port: lab.port }, agent.identity);
    agent.stop.abort();
    const open = (): { messages: string[]; end: Promise<unknown>; cancel: () => void } => {
      const call = client.session();
      const messages: string[] = [];
      call.write({ hello: { agentVersion: 'x', checkpointRevision: 0 } });
      const end = (async () => { for await (const message of call) messages.push(Object.keys(message as object)[0] ?? ''); })().catch((e: unknown) => fromGrpc(e));
      return { messages, end, cancel: () => { call.cancel(); } };
    };
    const first = open();
    await lab.until(() => first.messages.includes('complete'));
    const second = open();
    expect(await first.end).toMatchObject({ code: 'Conflict', message: expect.stringContaining('newer session') });
    await lab.until(() => second.messages.includes('complete'));
    expect(lab.dispatcher.connected()).toEqual(['a']);
    client.close();
    await second.end;
  });

  it('end when nothing is heard, or when the other side breaks the rules', async () => {
    const { identity, stop } = await connected('a');
    stop.abort();
    // A connection goes with its session: each dials anew.
    const end = async (...messages: object[]): Promise<string> => {
      const client = new EdgeClient(loadEdge(), { host: '127.0.0.1', port: lab.port }, identity);
      const call = client.session();
      for (const message of messages) call.write(message);
      try {
        for await (const m of call) void m;
        return 'ended';
      } catch (error) {
        return fromGrpc(error).message;
      } finally {
        client.close();
      }
    };
    expect(await end({ hello: {} })).toMatch(/nothing was heard/);
    expect(await end({ heartbeat: {} })).toMatch(/begins with hello/);
    expect(await end({ hello: {} }, { hello: {} })).toMatch(/second hello/);
    expect(await end({ hello: {} }, { nodeStatus: { report: Buffer.from('{"labels":[]}') } })).toMatch(/edge contract/);
    expect(await end({ hello: {} }, { podStatus: { uid: 'u', status: Buffer.from('{"conditions":7}') } })).toMatch(/edge contract/);
    expect(await end({ hello: {} }, { event: { event: Buffer.from('{"kind":"Service"}') } })).toMatch(/edge contract/);
  });

  it('begin anew with an agent that beats but takes nothing', async () => {
    const { identity, stop } = await connected('a');
    stop.abort();
    await lab.until(() => lab.sockets.size === 0);
    for (let i = 0; i < 40; i++) lab.cluster.put(services, { metadata: { namespace: 'default', name: `s${String(i)}`, annotations: { big: 'x'.repeat(500_000) } } });
    const client = new EdgeClient(loadEdge(), { host: '127.0.0.1', port: lab.port }, identity);
    const call = client.session();
    call.on('error', () => undefined);
    call.once('readable', () => { call.read(); });
    call.write({ hello: { agentVersion: 'x', checkpointRevision: 0 } });
    const beats = setInterval(() => { call.write({ heartbeat: { sentAtMs: 1 } }); }, 50);
    await lab.until(() => lab.dispatcher.connected().length === 1);
    await lab.until(() => lab.logged.some(({ err }) => err?.includes('taken nothing')), 'the end');
    clearInterval(beats);
    client.close();
  });

  it('with an agent that does not read cost little and end with it', async () => {
    for (let i = 0; i < 40; i++) lab.cluster.put(services, { metadata: { namespace: 'default', name: `s${String(i)}`, annotations: { big: 'x'.repeat(500_000) } } });
    const { identity, stop } = await connected('a');
    stop.abort();
    await lab.until(() => lab.sockets.size === 0);
    const client = new EdgeClient(loadEdge(), { host: '127.0.0.1', port: lab.port }, identity);
    const call = client.session();
    call.on('error', () => undefined);
    call.once('readable', () => { call.read(); }); // the first message and no more
    call.write({ hello: { agentVersion: 'x', checkpointRevision: 0 } });
    await lab.until(() => lab.dispatcher.connected().length === 1);
    const [socket] = lab.sockets;
    await lab.until(() => lab.dispatcher.connected().length === 0, 'the watchdog');
    expect(socket?.bytesWritten).toBeLessThan(12_000_000); // of 20 MB: what gRPC reads ahead
    await lab.until(() => lab.sockets.size === 0, 'the connection, cut');
    client.close();
  });
});

describe('a control plane that moves', () => {
  it('is found where it said before that it may be, and there again after the agent has started anew', async () => {
    const elsewhere = await freePort();
    lab.servers = [lab.url, `https://127.0.0.1:${String(elsewhere)}`];
    await lab.crash();
    await lab.listen(lab.port);
    const before = lab.port;
    const agent = await lab.agent('nomad');
    await lab.until(() => agent.session.connected);
    await lab.crash();
    // No longer where it was, and it says nothing of where it is.
    lab.servers = [];
    await lab.listen(elsewhere);
    await lab.until(() => agent.session.connected, 'the agent to look elsewhere');
    expect(lab.logged.some(({ msg }) => msg === 'the control plane has been found at another address')).toBe(true);
    expect(await Servers.open({ state: agent.checkpoint, log: lab.log }, join(lab.folder, 'nomad'), `https://127.0.0.1:${String(before)}`)).toMatchObject({ current: { port: elsewhere } });
  });
});

describe('a dead connection', () => {
  it('that still looks open is noticed by pings, on the agent\'s side', async () => {
    let silent = false;
    const proxy = createServer((socket) => {
      const server = connectTcp(lab.port, '127.0.0.1');
      socket.on('data', (chunk) => { if (!silent) server.write(chunk); }).on('error', () => undefined).on('close', () => { server.destroy(); });
      server.on('data', (chunk) => { if (!silent) socket.write(chunk); }).on('error', () => undefined);
    }).listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    const { url } = lab;
    Object.defineProperty(lab, 'url', { value: url.replace(String(lab.port), String((proxy.address() as AddressInfo).port)) });
    const agent = await connected('a');
    silent = true;
    await lab.until(() => !agent.session.connected && lab.dispatcher.connected().length === 0, 'both sides to notice');
    silent = false;
    await lab.until(() => agent.session.connected, 'the next session');
    agent.stop.abort();
    proxy.close();
  });
});

describe('tunnels', () => {
  it('bring logs in order, errors as they are, and usage', async () => {
    const agent = await connected('a');
    agent.handlers.logs = async function* logs(query) {
      if (query.podName === 'none') throw new StatusError('NotFound', 'no such pod here');
      for (let i = 0; i < 40; i++) yield Buffer.alloc(100_000, i);
    };
    const received: Buffer[] = [];
    for await (const chunk of lab.dispatcher.logs('a', logQuery('p'), never)) received.push(Buffer.from(chunk));
    expect(Buffer.concat(received).equals(Buffer.concat(Array.from({ length: 40 }, (_, i) => Buffer.alloc(100_000, i))))).toBe(true);
    expect(Math.max(...received.map((chunk) => chunk.length))).toBeLessThanOrEqual(64 << 10);
    const read = async (node: string, name: string): Promise<void> => { for await (const chunk of lab.dispatcher.logs(node, logQuery(name), never)) void chunk; };
    await expect(read('a', 'none')).rejects.toMatchObject({ code: 'NotFound', message: 'no such pod here' });
    await expect(read('b', 'p')).rejects.toMatchObject({ code: 'ServiceUnavailable', message: 'node b is not connected' });
    expect(await lab.dispatcher.usage('a', never)).toMatchObject({ node: { cpuMillis: 1 } });
    const asked: unknown[] = [];
    agent.handlers.usage = (_signal, parts) => {
      asked.push(parts);
      return Promise.resolve({ atMs: 1, windowMs: 1, node: { cpuMillis: 1, memoryBytes: 1, cpuSeconds: 3 }, pods: [] });
    };
    await lab.dispatcher.usage('a', never, { cgroups: true });
    await lab.dispatcher.usage('a', never, { volumes: true });
    expect(asked).toEqual([{ volumes: false, cgroups: true }, { volumes: true, cgroups: false }]);
    await expect(lab.dispatcher.kubelet('a', 'probes', never)).rejects.toMatchObject({ code: 'MethodNotAllowed', message: 'this agent is too old for what was asked; upgrade it' });
    agent.handlers.kubelet = (about) => Promise.resolve({ about });
    expect(await lab.dispatcher.kubelet('a', 'probes', never)).toEqual({ about: 'probes' });
    agent.handlers.usage = () => Promise.resolve({} as never);
    await expect(lab.dispatcher.usage('a', never)).rejects.toMatchObject({ code: 'InternalError' });
    agent.handlers.usage = () => new Promise(() => undefined);
    await expect(lab.dispatcher.usage('a', never)).rejects.toMatchObject({ code: 'Timeout' });
  });

  it('stop the agent\'s work when the reader goes, and slow it down when the reader is slow', async () => {
    const agent = await connected('a');
    let produced = 0;
    let stopped = 0;
    agent.handlers.logs = async function* endless(_query, signal) {
      try {
        while (!signal.aborted) {
          produced++;
          yield Buffer.alloc(64 << 10);
        }
      } finally {
        stopped++;
      }
    };
    const abort = new AbortController();
    let chunks = 0;
    for await (const chunk of lab.dispatcher.logs('a', logQuery('p'), abort.signal)) {
      expect(chunk.length).toBeGreaterThan(0);
      if (++chunks === 3) break;
    }
    await lab.until(() => stopped === 1, 'the first to stop');
    const paused = lab.dispatcher.logs('a', logQuery('p'), abort.signal)[Symbol.asyncIterator]();
    produced = 0;
    await paused.next();
    // heartbeats go on over the same connection while the log waits for its reader
    for (let i = 0; i < 2; i++) {
      const at = lab.cluster.find(leases, 'kube-node-lease', 'a')?.spec?.renewTime;
      await lab.until(() => lab.cluster.find(leases, 'kube-node-lease', 'a')?.spec?.renewTime !== at, 'a heartbeat');
    }
    expect(produced).toBeLessThan(100);
    abort.abort();
    expect((await paused.next()).done).toBe(false); // what was received already
    await lab.until(() => stopped === 2, 'the second to stop');
  });

  it('end with the connection', async () => {
    const agent = await connected('a');
    let aborted = false;
    agent.handlers.logs = async function* waiting(_query, signal) {
      yield Buffer.from('x');
      await new Promise<void>((resolve) => { signal.addEventListener('abort', () => { aborted = true; resolve(); }); });
    };
    const iterator = lab.dispatcher.logs('a', logQuery('p'), never)[Symbol.asyncIterator]();
    await iterator.next();
    for (const socket of lab.sockets) socket.destroy();
    await expect(iterator.next()).rejects.toMatchObject({ code: 'ServiceUnavailable' });
    await lab.until(() => aborted && agent.session.connected, 'the next session');
  });
});

describe('bad input', () => {
  it('arbitrary bytes to every rpc neither crash nor leak', async () => {
    const agent = await connected('a');
    const names = ['cleat.edge.v1.Enrolment/Enrol', 'cleat.edge.v1.Enrolment/Renew', 'cleat.edge.v1.Agents/Session', 'cleat.edge.v1.Agents/Tunnel'];
    const { Client, credentials } = await import('@grpc/grpc-js');
    const { caPem, keyPem, certPem } = agent.identity;
    for (const pair of [[], [Buffer.from(keyPem), Buffer.from(certPem)]]) {
      await fc.assert(fc.asyncProperty(fc.constantFrom(...names), fc.array(fc.uint8Array({ maxLength: 200 }), { minLength: 1, maxLength: 3 }), async (name, messages) => {
        // A connection goes with its session, and a client that had one cut in the wrong moment may not notice: each call has its own.
        const client = new Client(`127.0.0.1:${String(lab.port)}`, credentials.createSsl(Buffer.from(caPem), ...pair), { 'grpc.ssl_target_name_override': 'agents.cleat.internal', 'grpc.use_local_subchannel_pool': 1 });
        const call = client.makeBidiStreamRequest(`/${name}`, (m: Uint8Array) => Buffer.from(m), (m) => m);
        for (const message of messages) call.write(message);
        call.end();
        await new Promise<void>((resolve) => { call.resume().on('error', () => { resolve(); }).on('end', () => { resolve(); }); });
        client.close();
      }), { numRuns: 60 });
    }
    await lab.until(() => lab.sockets.size <= 1 && agent.session.connected, 'the agent to be back');
    expect(lab.logged.filter((line) => line.level >= 50)).toEqual([]);
  }, 30_000);

  it('arbitrary bytes to the port, before and after the handshake, neither crash nor leak', async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 500 }), fc.constantFrom('raw', 'tls', 'h2'), async (bytes, layer) => {
      const socket = layer === 'raw' ? connectTcp(lab.port, '127.0.0.1') : connectTls({ port: lab.port, host: '127.0.0.1', servername: 'agents.cleat.internal', ca: lab.ca.certPem, ALPNProtocols: ['h2'] });
      await new Promise<void>((resolve) => {
        socket.on('error', () => undefined).on('close', () => { resolve(); }).resume();
        socket.write(layer === 'h2' ? Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), bytes]) : bytes);
        socket.end();
      });
    }), { numRuns: 60 });
    await lab.until(() => lab.sockets.size === 0, 'all connections to be gone');
    await connected('a');
  }, 30_000);
});
