/**
 * Waits for one address after the other to answer, and prints `ADDRESS EPOCH-MILLISECONDS` for each, the time being that of the
 * attempt's answer. Every few milliseconds a new connection is tried, whatever became of those before.
 *
 *   node reach-probe.ts PORT ADDRESS...
 */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const everyMs = 4;
const mostAttempts = 50;

async function reached(host: string, port: number): Promise<number> {
  let answeredAt = 0;
  let trying = 0;
  const attempt = (): void => {
    trying++;
    const socket = connect({ host, port, timeout: 500 });
    socket.once('connect', () => { answeredAt ||= performance.timeOrigin + performance.now(); socket.destroy(); })
      .once('timeout', () => { socket.destroy(); }).once('error', () => undefined).once('close', () => { trying--; });
  };
  while (answeredAt === 0) {
    if (trying < mostAttempts) attempt();
    await sleep(everyMs);
  }
  return answeredAt;
}

const [port = '', ...addresses] = process.argv.slice(2);
console.log('ready');
for (const address of addresses) console.log(`${address} ${(await reached(address, Number(port))).toFixed(1)}`);
process.exit(0);
