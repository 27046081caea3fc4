import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Probe } from '#api/gen/types.ts';
import { systemCheck } from '#agent/pods/probes/checks.ts';
import { FakeDriver } from '#agent/runtimes/fake/driver.ts';
import { systemClock } from '#common/clock.ts';

// What one probe costs a process with an agent's settings. Arguments: the ports of an HTTP and of a gRPC server. Prints JSON: by name, milliseconds of CPU.

const [web = 0, grpc = 0] = process.argv.slice(2).map(Number);
const rounds = 40;
/** As many as begin together in an agent. */
const atOnce = 8;
const pauseMs = 25;

const check = systemCheck(new FakeDriver(systemClock), systemClock);
const never = new AbortController().signal;
const target = { containerId: 'c', ip: '127.0.0.1', ports: new Map<string, number>() };

function probed(probe: Probe): () => Promise<void> {
  return async () => {
    const { ok, output } = await check({ ...probe, timeoutSeconds: 30 }, target, never);
    if (!ok) throw new Error(output);
  };
}

/** The least that Node asks for: a connection, a few bytes there and back. */
function bare(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: web });
    socket.on('error', reject);
    socket.on('data', () => { socket.destroy(); resolve(); });
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  });
}

async function cpuMs(run: () => Promise<void>): Promise<number> {
  for (let i = 0; i < 3; i++) await Promise.all(Array.from({ length: atOnce }, run));
  const before = process.cpuUsage();
  for (let i = 0; i < rounds; i++) {
    await Promise.all(Array.from({ length: atOnce }, run));
    await sleep(pauseMs);
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000 / rounds / atOnce;
}

const cases = { bare, HTTP: probed({ httpGet: { path: '/', port: web } }), TCP: probed({ tcpSocket: { port: web } }), gRPC: probed({ grpc: { port: grpc } }) };
const result: Record<string, number> = {};
for (const [name, run] of Object.entries(cases)) result[name] = Number((await cpuMs(run)).toFixed(3));
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(0);
