import { createSocket } from 'node:dgram';
import { systemClock } from '#common/clock.ts';
import type { Service } from '#api/gen/types.ts';
import { services } from '#api/kinds/resources.ts';
import { exchange } from '#agent/dns/exchange.ts';
import { Forwarder } from '#agent/dns/forwarder.ts';
import { Resolver } from '#agent/dns/resolver.ts';
import { DnsServer } from '#agent/dns/server.ts';
import { ServiceIndex } from '#agent/dns/service-index.ts';
import { Zone } from '#agent/dns/zone.ts';

/**
 * `node dns-process.ts resolver COUNT`: the agent's resolver with that many Services. `node dns-process.ts echo BYTES`:
 * the floor, which sends answers of that size back and looks at nothing. Prints its port.
 */
const [kind = '', count = ''] = process.argv.slice(2);

if (kind === 'resolver') {
  const index = new ServiceIndex('bench');
  index.note(Array.from({ length: Number(count) }, (_, i) => {
    const object: Service = { apiVersion: 'v1', kind: 'Service', metadata: { name: `service-${String(i)}`, namespace: 'default' }, spec: { clusterIP: `10.43.${String((i >> 8) + 1)}.${String(i & 255)}` } };
    return { type: 'set', resource: services, object };
  }));
  const zone = new Zone(index, { domain: 'cluster.local', address: '127.0.0.1', ownsAddress: () => false });
  const resolver = new Resolver({ zone, forwarder: new Forwarder({ exchange, clock: systemClock }), generation: () => index.generation, random: Math.random });
  const signal = new AbortController().signal;
  const server = new DnsServer((message, transport, mayWait) => resolver.respond(message, transport, mayWait, signal), { address: '127.0.0.1', port: 0 });
  await server.open((error) => { throw error; });
  console.log(server.port);
} else {
  const socket = createSocket('udp4');
  const answer = Buffer.alloc(Number(count));
  socket.on('message', (message, peer) => {
    message.copy(answer, 0, 0, 2);
    socket.send(Buffer.from(answer), peer.port, peer.address);
  });
  socket.bind(0, '127.0.0.1', () => { console.log(socket.address().port); });
}
