import { connect } from 'node:net';
import { Duplex } from 'node:stream';
import { StatusError } from '#common/errors.ts';
import { commandChannels, type ByteStream, type Channels } from '#common/streams/channels.ts';
import { exitStatus } from '#common/streams/exit-status.ts';
import { channelPair } from '#common/streams/pair.ts';
import { channelsOfSocket } from '#common/streams/socket-channels.ts';
import type { NodeGateway, NodeUsage, StreamRequest } from '../types.ts';

const { stdin, stdout, stderr, status, resize } = commandChannels;

/** For tests: one node whose programs are small functions. Ports lead to loopback; port 9 to nobody. */
export class FakeNodes implements NodeGateway {
  readonly asked: StreamRequest[] = [];
  /** Streams that are open now. */
  open_ = 0;
  /** Bytes that `yes` has got rid of. */
  written = 0;

  open(nodeName: string, request: StreamRequest, channels: readonly number[], signal: AbortSignal): Promise<Channels> {
    if (nodeName !== 'node-1') return Promise.reject(new StatusError('ServiceUnavailable', `node ${nodeName} is not connected`));
    this.asked.push(request);
    if (request.kind === 'port-forward' || request.kind === 'dial') return this.#connect(request.port, signal);
    if (request.kind === 'exec' && request.command[0] === 'missing') return Promise.reject(new StatusError('NotFound', 'container not found ("main")'));
    const [near, far] = channelPair(channels);
    this.#track(near, signal);
    const optional = (number: number): ByteStream | undefined => (channels.includes(number) ? far.channel(number) : undefined);
    void this.#run(request.kind === 'exec' ? request.command : ['cat'], far, optional).catch(() => { far.close(new StatusError('ServiceUnavailable', 'node node-1 went away')); });
    return Promise.resolve(near);
  }

  async #run(command: readonly string[], far: Channels, optional: (number: number) => ByteStream | undefined): Promise<void> {
    let exitCode = 0;
    const out = optional(stdout);
    switch (command[0]) {
      case 'cat':
        for await (const chunk of optional(stdin) ?? []) await out?.write(chunk);
        break;
      case 'count': {
        let bytes = 0;
        for await (const chunk of optional(stdin) ?? []) bytes += chunk.length;
        await out?.write(Buffer.from(String(bytes)));
        break;
      }
      case 'size':
        for await (const size of optional(resize) ?? []) { await out?.write(size); break; }
        break;
      case 'yes':
        for (;; this.written += 1 << 16) await out?.write(Buffer.alloc(1 << 16, 'y\n'));
      case 'crash':
        far.close(new StatusError('ServiceUnavailable', 'node node-1 went away'));
        return;
      default:
        await out?.write(Buffer.from('out'));
        await optional(stderr)?.write(Buffer.from('err'));
        exitCode = Number(command[1]);
    }
    await far.channel(status).write(Buffer.from(JSON.stringify(exitStatus(exitCode))));
    for (const number of [stdout, stderr, status]) await optional(number)?.end();
  }

  async #connect(port: number, signal: AbortSignal): Promise<Channels> {
    if (port === 9) throw new StatusError('ServiceUnavailable', 'connection refused');
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    socket.on('error', () => undefined);
    const channels = channelsOfSocket(socket);
    this.#track(channels, signal);
    return Promise.resolve(channels);
  }

  #track(channels: Channels, signal: AbortSignal): void {
    this.open_++;
    void channels.closed.then(() => { this.open_--; });
    signal.addEventListener('abort', () => { channels.close(); }, { once: true });
  }

  async *logs(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('first line\n');
    yield Buffer.from('second line\n');
  }

  /** What the agent tells of itself; too old to tell anything until a test says otherwise. */
  about: Readonly<Record<string, unknown>> | undefined;

  kubelet(_nodeName: string, about: string): Promise<unknown> {
    return this.about ? Promise.resolve(this.about[about]) : Promise.reject(new StatusError('MethodNotAllowed', 'this agent is too old for what was asked; upgrade it'));
  }

  usage(): Promise<NodeUsage> {
    return Promise.resolve({ atMs: 0, windowMs: 1000, node: { cpuMillis: 5, memoryBytes: 100, cpuSeconds: 60.5, hardware: { celsius: 61.3, throttled: 4, disk: { device: 'mmcblk0', wornPercent: 30 } }, disk: { capacityBytes: 100, availableBytes: 60, usedBytes: 40, inodes: 9, inodesUsed: 4 }, imageDisk: { capacityBytes: 200, availableBytes: 150, usedBytes: 30 } }, pods: [
      { namespace: 'default', name: 'web', uid: 'u', network: { receivedBytes: 7, receivedPackets: 2, receiveErrors: 0, sentBytes: 9, sentPackets: 3, sendErrors: 1 }, volumes: [{ name: 'tmp', usedBytes: 5, inodesUsed: 1 }, { name: 'data', claim: 'c', availableBytes: 6, capacityBytes: 10, usedBytes: 4, abnormal: true }], ephemeral: { bytes: 14, inodes: 2 }, containers: [{ name: 'main', details: { processes: 4, memory: { usageBytes: 12, rssBytes: 8, cacheBytes: 3, mappedBytes: 1, swapBytes: 0, pageFaults: 5, majorPageFaults: 2, limitBytes: 64, oomKills: 1 }, quota: { quotaMicros: 50_000, periodMicros: 100_000, periods: 7, throttledPeriods: 3, throttledSeconds: 0.25 } }, writableBytes: 9, writableInodes: 6, logs: { bytes: 3, inodes: 1 }, cpuMillis: 2, memoryBytes: 10, cpuSeconds: 1.5, id: 'c1', image: 'x', startedAtMs: 2000 }] },
      // As an older agent tells of it.
      { namespace: 'default', name: 'old', uid: 'v', containers: [{ name: 'main', cpuMillis: 1, memoryBytes: 20 }] },
    ] });
  }
}

/** The client's side of a WebSocket whose binary messages are one stream of bytes. */
export function messageStream(socket: Duplex): Duplex {
  let held = Buffer.alloc(0);
  const stream = new Duplex({
    read() { /* what comes is pushed */ },
    write(chunk: Buffer, _encoding, taken) {
      const head = Buffer.alloc(14);
      head[0] = 0x82;
      head[1] = 0x80 | 127;
      head.writeBigUInt64BE(BigInt(chunk.length), 2);
      // A mask of zeros changes nothing.
      socket.write(Buffer.concat([head, chunk]), () => { taken(); });
    },
    final(ended) { socket.end(ended); },
    destroy(error, closed) { socket.destroy(); closed(error); },
  });
  socket.on('data', (chunk: Buffer) => {
    held = Buffer.concat([held, chunk]);
    for (;;) {
      const short = (held[1] ?? 0) & 0x7f;
      const head = short === 126 ? 4 : short === 127 ? 10 : 2;
      if (held.length < head) return;
      const size = short === 126 ? held.readUInt16BE(2) : short === 127 ? Number(held.readBigUInt64BE(2)) : short;
      if (held.length < head + size) return;
      if ((held[0] ?? 0) === 0x82) stream.push(held.subarray(head, head + size));
      held = held.subarray(head + size);
    }
  });
  socket.on('close', () => { stream.push(null); }).on('error', () => undefined);
  return stream;
}
