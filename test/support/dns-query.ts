import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { decode, encode, type DecodedPacket, type RecordType } from 'dns-packet';

/**
 * `node dns-query.ts SERVER udp|tcp NAME TYPE` asks once and prints `CODE DATA ...`. `node dns-query.ts serve ADDRESS
 * PORT` is a server for everything: each A question is answered with 192.0.2.1, `nosuch.` names do not exist.
 */
const [first = '', ...rest] = process.argv.slice(2);
if (first === 'serve') serve(rest[0] ?? '', Number(rest[1]));
else await ask(first, rest[0] ?? 'udp', rest[1] ?? '', rest[2] as RecordType);

async function ask(server: string, transport: string, name: string, type: RecordType): Promise<void> {
  const query = encode({ type: 'query', id: 7, flags: 0x100, questions: [{ name, type }] });
  const message = await new Promise<Buffer>((resolve, reject) => {
    setTimeout(() => { reject(new Error('no answer')); }, 5000).unref();
    if (transport === 'udp') {
      const socket = createSocket('udp4');
      socket.on('message', (reply) => { socket.close(); resolve(reply); }).on('error', reject);
      socket.connect(53, server, () => { socket.send(query); });
      return;
    }
    const socket = connect(53, server);
    const chunks: Buffer[] = [];
    socket.on('error', reject).on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      const all = Buffer.concat(chunks);
      if (all.length < 2 || all.length < 2 + all.readUInt16BE(0)) return;
      socket.destroy();
      resolve(all.subarray(2));
    });
    socket.write(Buffer.concat([Buffer.from([0, query.length]), query]));
  });
  const packet = decode(message) as DecodedPacket & { readonly rcode?: string };
  console.log([packet.rcode, ...(packet.answers ?? []).map((record) => ('data' in record ? JSON.stringify(record.data) : record.type))].join(' '));
}

function serve(address: string, port: number): void {
  const socket = createSocket('udp4');
  socket.on('message', (message, peer) => {
    const { id, questions } = decode(message);
    const { name = '', type } = questions?.[0] ?? {};
    const exists = !name.startsWith('nosuch.');
    const answers = exists && type === 'A' ? [{ type: 'A' as const, name, ttl: 60, data: '192.0.2.1' }] : [];
    socket.send(encode({ type: 'response', id: id ?? 0, flags: 0x180 | (exists ? 0 : 3), questions: questions ?? [], answers }), peer.port, peer.address);
  });
  socket.bind(port, address, () => { console.log('serving'); });
}
