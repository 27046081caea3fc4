import { connect } from 'node:net';
import { measureBackend } from './proxy-lab.ts';
import { percentile } from './row.ts';

/**
 * `node proxy-process.ts rows BACKEND COUNT,...`: the rows of one backend, a line of JSON each as it is measured; for a host with a kernel of its own.
 * `node proxy-process.ts connect ADDRESS PORT MS`: new connections for that long, one at a time and then eight.
 */
const [mode = '', ...args] = process.argv.slice(2);

if (mode === 'rows') {
  for await (const row of measureBackend(args[0] ?? '', (args[1] ?? '').split(',').map(Number))) console.log(JSON.stringify(row));
} else {
  const [address = '', port = '', ms = ''] = args;
  const ask = async (): Promise<number> => new Promise((resolve, reject) => {
    const start = performance.now();
    const socket = connect({ host: address, port: Number(port) }, () => { socket.write('?\n'); });
    socket.once('data', () => { socket.resetAndDestroy(); resolve(performance.now() - start); }).once('error', reject);
  });
  const load = async (at: number): Promise<number[]> => {
    const times: number[] = [];
    const end = performance.now() + Number(ms) / 2;
    await Promise.all(Array.from({ length: at }, async () => { while (performance.now() < end) times.push(await ask()); }));
    return times;
  };
  const [one, many] = [await load(1), await load(8)];
  console.log(JSON.stringify({ p50: Number(percentile(one, 50).toFixed(3)), perSecond: Math.round(many.length / (Number(ms) / 2000)) }));
}
