import { decode, encode, type DecodedPacket, type RecordType } from 'dns-packet';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import type { EndpointSlice, Service } from '#api/gen/types.ts';
import { endpointSlices, services } from '#api/kinds/resources.ts';
import { fuzzDns } from '#test/support/dns-fuzz.ts';
import { Forwarder } from './forwarder.ts';
import { Resolver } from './resolver.ts';
import { ServiceIndex } from './service-index.ts';
import type { DnsRecord, Exchange, Question, Reply } from './types.ts';
import { Zone } from './zone.ts';

const signal = new AbortController().signal;
/** `DNS_FUZZ=1000000 npm run unit agent/dns` for the long form. */
const fuzzPackets = Number(process.env['DNS_FUZZ'] ?? 5000);
const answerOf = (name: string, data: string, ttl = 60): Reply => ({ rcode: 0, authoritative: false, answers: [{ type: 'A', name, ttl, data }], authorities: [] });
const soa = (minimum: number): DnsRecord => ({ type: 'SOA', name: 'com', ttl: 900, data: { mname: 'a', rname: 'b', serial: 1, refresh: 1, retry: 1, expire: 1, minimum } });

function make(exchange: Exchange = () => Promise.reject(new StatusError('Timeout', 'no answer'))) {
  const clock = new ManualClock();
  const index = new ServiceIndex('here');
  const asked: string[] = [];
  const forwarder = new Forwarder({ clock, exchange: (server, question, until) => { asked.push(`${server} ${question.name} ${question.type}`); return exchange(server, question, until); } });
  forwarder.use({ servers: ['10.0.0.1', '10.0.0.2'], stubDomains: new Map([['corp', ['10.9.9.9']], ['deep.corp', ['10.9.9.8']]]) });
  const zone = new Zone(index, { domain: 'cluster.local', address: '10.43.0.10', ownsAddress: () => false });
  const resolver = new Resolver({ zone, forwarder, generation: () => index.generation, random: () => 0 });
  return { clock, index, asked, resolver };
}

function query(name: string, type: RecordType = 'A', extra: object = {}): Buffer {
  return encode({ type: 'query', id: 4711, flags: 0x100, questions: [{ name, type }], ...extra });
}

async function ask(resolver: Resolver, message: Buffer, transport: 'udp' | 'tcp' = 'udp'): Promise<DecodedPacket & { readonly rcode?: string }> {
  const reply = await resolver.respond(message, transport, true, signal);
  return decode(reply ?? Buffer.alloc(0));
}

const addresses = (packet: DecodedPacket): unknown[] => (packet.answers ?? []).map((record) => ('data' in record ? record.data : undefined));

function headless(count: number): (Service | EndpointSlice)[] {
  return [
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'db', namespace: 'default' }, spec: { clusterIP: 'None' } },
    { apiVersion: 'v1', kind: 'EndpointSlice', metadata: { name: 'db', namespace: 'default', labels: { 'kubernetes.io/service-name': 'db' } }, addressType: 'IPv4', ports: [], endpoints: Array.from({ length: count }, (_, i) => ({ addresses: [`10.42.0.${String(i + 1)}`] })) },
  ];
}

function fill(index: ServiceIndex, objects: readonly (Service | EndpointSlice)[]): void {
  index.note(objects.map((object) => ({ type: 'set', resource: object.kind === 'Service' ? services : endpointSlices, object })));
}

describe('names of the cluster', () => {
  const web: Service = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web', namespace: 'default' }, spec: { clusterIP: '10.43.0.7' } };

  it('are answered with authority, again from memory, and anew after a change', async () => {
    const { resolver, index } = make();
    fill(index, [web]);
    for (const id of [1, 2]) {
      const message = query('web.default.svc.cluster.local');
      message.writeUInt16BE(id, 0);
      expect(await ask(resolver, message)).toMatchObject({ id, flag_aa: true, flag_ra: true, flag_rd: true, rcode: 'NOERROR', answers: [{ data: '10.43.0.7', ttl: 5 }] });
    }
    fill(index, [{ ...web, spec: { clusterIP: '10.43.0.8' } }]);
    expect(addresses(await ask(resolver, query('web.default.svc.cluster.local')))).toEqual(['10.43.0.8']);
  });

  it('give each of several addresses its turn', () => {
    let next = 0;
    const index = new ServiceIndex('here');
    fill(index, headless(3));
    const zone = new Zone(index, { domain: 'cluster.local', address: '10.43.0.10', ownsAddress: () => false });
    const resolver = new Resolver({ zone, forwarder: new Forwarder({ clock: new ManualClock(), exchange: () => Promise.reject(new Error('not asked')) }), generation: () => 0, random: () => next++ / 3 });
    const first = Array.from({ length: 3 }, () => addresses(decode(resolver.respond(query('db.default.svc.cluster.local'), 'udp', true, signal) as Buffer))[0]);
    expect(first).toEqual(['10.42.0.1', '10.42.0.2', '10.42.0.3']);
  });

  it('are cut where the client takes no more, whole over TCP and with EDNS', async () => {
    const { resolver, index } = make();
    fill(index, headless(60));
    const name = 'db.default.svc.cluster.local';
    const edns = { additionals: [{ type: 'OPT', name: '.', udpPayloadSize: 4096, flags: 0, extendedRcode: 0, ednsVersion: 0, flag_do: false, options: [] }] };
    expect(await ask(resolver, query(name))).toMatchObject({ flag_tc: true, answers: [] });
    expect((await ask(resolver, query(name), 'tcp')).answers).toHaveLength(60);
    const large = await ask(resolver, query(name, 'A', edns));
    expect(large).toMatchObject({ flag_tc: true, additionals: [{ type: 'OPT', udpPayloadSize: 1232 }] });
    fill(index, headless(25));
    expect((await ask(resolver, query(name, 'A', edns))).answers).toHaveLength(25);
  });

  it('lead through ExternalNames into the world, and never in a circle', async () => {
    const { resolver, index } = make((_, { name }) => Promise.resolve(answerOf(name, '192.0.2.1')));
    const external = (name: string, externalName: string): Service => ({ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'default' }, spec: { type: 'ExternalName', externalName } });
    fill(index, [web, external('out', 'example.com'), external('in', 'web.default.svc.cluster.local'), external('twice', 'out.default.svc.cluster.local'), external('circle', 'circle.default.svc.cluster.local')]);
    expect(addresses(await ask(resolver, query('twice.default.svc.cluster.local')))).toEqual(['out.default.svc.cluster.local', 'example.com', '192.0.2.1']);
    expect(addresses(await ask(resolver, query('in.default.svc.cluster.local')))).toEqual(['web.default.svc.cluster.local', '10.43.0.7']);
    expect(await ask(resolver, query('circle.default.svc.cluster.local'))).toMatchObject({ rcode: 'SERVFAIL' });
  });
});

describe('other names', () => {
  it('are asked once for many, remembered for their time, with the letters of each client', async () => {
    const { resolver, asked, clock } = make((_, { name }) => Promise.resolve(answerOf(name, '192.0.2.1', 10)));
    const both = await Promise.all([ask(resolver, query('Example.com')), ask(resolver, query('example.COM'))]);
    expect(both.map(({ answers }) => answers?.[0]?.name)).toEqual(['Example.com', 'example.COM']);
    clock.jump(0);
    await clock.advance(4000);
    expect((await ask(resolver, query('example.com'))).answers).toMatchObject([{ ttl: 6 }]);
    expect(asked).toHaveLength(1);
    await clock.advance(6000);
    await ask(resolver, query('example.com'));
    expect(asked).toHaveLength(2);
  });

  it('that do not exist are remembered as that', async () => {
    const { resolver, asked, clock } = make(() => Promise.resolve({ rcode: 3, authoritative: false, answers: [], authorities: [soa(30)] }));
    for (let i = 0; i < 3; i++) expect(await ask(resolver, query('nosuch.example'))).toMatchObject({ rcode: 'NXDOMAIN' });
    expect(asked).toHaveLength(1);
    await clock.advance(31_000);
    await ask(resolver, query('nosuch.example'));
    expect(asked).toHaveLength(2);
  });

  it('go to the next server when one is silent or refuses, which is asked last from then on', async () => {
    const { resolver, asked } = make((server, { name }) => (server === '10.0.0.1' ? Promise.reject(new StatusError('Timeout', 'silent')) : Promise.resolve(answerOf(name, '192.0.2.1'))));
    await ask(resolver, query('a.example'));
    await ask(resolver, query('b.example'));
    expect(asked).toEqual(['10.0.0.1 a.example A', '10.0.0.2 a.example A', '10.0.0.2 b.example A']);
  });

  it('keep their last answer for a while when nobody can be asked', async () => {
    let online = true;
    const { resolver, clock } = make((_, { name }) => (online ? Promise.resolve(answerOf(name, '192.0.2.1', 10)) : Promise.reject(new StatusError('ServiceUnavailable', 'cut off'))));
    await ask(resolver, query('example.com'));
    online = false;
    await clock.advance(60_000);
    expect(await ask(resolver, query('example.com'))).toMatchObject({ rcode: 'NOERROR', answers: [{ data: '192.0.2.1', ttl: 30 }] });
    await clock.advance(3_600_000);
    expect(await ask(resolver, query('example.com'))).toMatchObject({ rcode: 'SERVFAIL', answers: [] });
    expect(await ask(resolver, query('other.com'))).toMatchObject({ rcode: 'SERVFAIL' });
  });

  it('of a stub domain go to its servers', async () => {
    const { resolver, asked } = make((_, { name }) => Promise.resolve(answerOf(name, '192.0.2.1')));
    for (const name of ['db.corp', 'x.deep.corp', 'notcorp', 'CORP']) await ask(resolver, query(name));
    expect(asked).toEqual(['10.9.9.9 db.corp A', '10.9.9.8 x.deep.corp A', '10.0.0.1 notcorp A', '10.9.9.9 CORP A']);
  });

  it('that a server sends back here fail once, and do not go round', async () => {
    const loop: { resolver?: Resolver } = {};
    const { resolver, asked } = make(async (_, question: Question) => {
      const back = Promise.resolve(loop.resolver?.respond(query(question.name, question.type), 'udp', true, signal));
      await Promise.race([back, Promise.resolve()]);
      throw new StatusError('Timeout', 'no answer in time');
    });
    loop.resolver = resolver;
    expect(await ask(resolver, query('example.com'))).toMatchObject({ rcode: 'SERVFAIL' });
    expect(asked).toHaveLength(2);
  });

  it('wait for nobody while too many do: what is known is said all the same', async () => {
    const { resolver, index, asked } = make((_, question) => Promise.resolve(answerOf(question.name, '192.0.2.1')));
    fill(index, [{ apiVersion: 'v1', kind: 'Service', metadata: { name: 'web', namespace: 'default' }, spec: { clusterIP: '10.43.0.7' } }]);
    const atOnce = (name: string): string => { const reply = resolver.respond(query(name), 'udp', false, signal); return reply instanceof Buffer ? (decode(reply) as { rcode?: string }).rcode ?? '' : 'later'; };
    expect([atOnce('web.default.svc.cluster.local'), atOnce('example.com'), asked]).toEqual(['NOERROR', 'SERVFAIL', []]);
    await ask(resolver, query('example.com'));
    expect(atOnce('example.com')).toBe('NOERROR');
  });

  it('give away a server that sends them back', async () => {
    const loop: { resolver?: Resolver } = {};
    const { resolver, asked } = make();
    loop.resolver = resolver;
    expect(await resolver.probe('x.loop.cluster.local', async () => { await ask(resolver, query('x.loop.cluster.local', 'TXT')); })).toBe(true);
    expect(await resolver.probe('y.loop.cluster.local', () => Promise.resolve())).toBe(false);
    expect(await resolver.probe('z.loop.corp', async () => { await ask(resolver, query('z.loop.corp', 'TXT')); })).toBe(true);
    expect(asked).toEqual([]);
  });
});

describe('messages that are no questions', () => {
  it.each([
    ['too short', Buffer.from([1, 2, 3]), undefined],
    ['an answer', encode({ type: 'response', id: 1, questions: [{ name: 'a', type: 'A' }] }), undefined],
    ['no question', encode({ type: 'query', id: 1 }), 'FORMERR'],
    ['two questions', encode({ type: 'query', id: 1, questions: [{ name: 'a', type: 'A' }, { name: 'b', type: 'A' }] }), 'FORMERR'],
    ['half a question', query('example.com').subarray(0, 20), 'FORMERR'],
    ['an update', encode({ type: 'query', id: 1, flags: 5 << 11, questions: [{ name: 'a', type: 'A' }] }), 'NOTIMP'],
    ['a label with a dot', Buffer.from(query('a.b').toString('latin1').replace('\x01a\x01b', '\x03a.b'), 'latin1'), 'FORMERR'],
    ['a name that is no text', Buffer.from(query('ab').toString('latin1').replace('ab', 'a\xff'), 'latin1'), 'FORMERR'],
    ['a zone transfer', query('cluster.local', 'AXFR'), 'REFUSED'],
  ])('%s', async (_, message, expected) => {
    const { resolver, asked } = make();
    const reply = await resolver.respond(message, 'udp', true, signal);
    expect(reply && decode(reply)).toEqual(expected === undefined ? undefined : expect.objectContaining({ rcode: expected, type: 'response' }));
    expect(asked).toEqual([]);
  });

  it('crash nothing, are answered under their own ids, and leave nothing behind', async () => {
    const { resolver, index } = make();
    fill(index, headless(3));
    const { checked, grownBytes } = await fuzzDns(resolver, { packets: fuzzPackets, seed: 1 });
    expect(checked).toBe(fuzzPackets);
    expect(grownBytes).toBeLessThan(48 << 20);
  }, 60_000 + 5 * fuzzPackets);
});
