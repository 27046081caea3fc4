import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { join } from 'node:path';
import { encode } from 'dns-packet';
import { usageOf } from '../process-usage.ts';
import { percentile, type Row } from '../row.ts';

const serviceCount = 1000;
const outstanding = 24;
const warmUpMs = 2000;
const measureMs = 4000;
const answerBytes = 80;

/** The agent's resolver in a process of its own, beside a UDP server that answers without looking; about 15 seconds. */
export async function run(): Promise<Row[]> {
  const floor = await measure('echo', String(answerBytes));
  const ours = await measure('resolver', String(serviceCount));
  return [
    { name: `dns: cached names of ${String(serviceCount)} Services`, unit: 'queries/s', value: ours.perSecond, peer: { name: 'a UDP server that looks at nothing', value: floor.perSecond }, budget: { at: 'least', of: 'value', bound: 20_000 }, note: `${String(outstanding)} questions under way at any time, from another process` },
    { name: 'dns: p99 at that rate', unit: 'ms', value: ours.p99, peer: { name: 'a UDP server that looks at nothing', value: floor.p99 }, budget: { at: 'most', of: 'value', bound: 2 } },
    { name: 'dns: memory (PSS) of the resolver alone, after that', unit: 'MB', value: ours.pssMb, peer: { name: 'a UDP server that looks at nothing', value: floor.pssMb } },
  ];
}

async function measure(kind: string, count: string): Promise<{ readonly perSecond: number; readonly p99: number; readonly pssMb: number }> {
  const server = spawn(process.execPath, [join(import.meta.dirname, '../dns-process.ts'), kind, count], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const [line] = await once(server.stdout, 'data') as [Buffer];
    const port = Number(line.toString().trim());
    await load(port, warmUpMs);
    const times = await load(port, measureMs);
    return { perSecond: Math.round(times.length / (measureMs / 1000)), p99: Number(percentile(times, 99).toFixed(2)), pssMb: Number((usageOf(server.pid ?? 0).pssBytes / 1e6).toFixed(1)) };
  } finally {
    server.kill('SIGKILL');
    await once(server, 'exit');
  }
}

/** Milliseconds of every answer that came within the time. A lost packet would stall its slot, so its question is asked again. */
async function load(port: number, forMs: number): Promise<number[]> {
  const socket = createSocket('udp4');
  const times: number[] = [];
  const sentAt = new Float64Array(outstanding);
  const ask = (slot: number): void => {
    const name = `service-${String(Math.floor(Math.random() * serviceCount))}.default.svc.cluster.local`;
    sentAt[slot] = performance.now();
    socket.send(encode({ type: 'query', id: slot, flags: 0x100, questions: [{ name, type: 'A' }] }));
  };
  await new Promise<void>((resolve) => { socket.connect(port, '127.0.0.1', resolve); });
  const end = performance.now() + forMs;
  await new Promise<void>((resolve) => {
    const retry = setInterval(() => {
      const now = performance.now();
      if (now > end) { clearInterval(retry); resolve(); return; }
      for (let slot = 0; slot < outstanding; slot++) if (now - (sentAt[slot] ?? 0) > 500) ask(slot);
    }, 100);
    socket.on('message', (message) => {
      const slot = message.readUInt16BE(0);
      const now = performance.now();
      times.push(now - (sentAt[slot] ?? 0));
      if (now < end) ask(slot);
    });
    for (let slot = 0; slot < outstanding; slot++) ask(slot);
  });
  socket.close();
  return times;
}
