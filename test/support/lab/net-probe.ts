/**
 * A small program for tests of packets; run in a host or pod with node.
 *
 *   serve NAME PORT              TCP and UDP on PORT: answers each line with "NAME CLIENT-ADDRESS"; prints `ready`
 *   ask tcp|udp ADDRESS PORT COUNT [SOURCE-PORT [TIMEOUT-MS]]
 *                                COUNT exchanges, printed as a JSON array of answers; a failed one is its error code
 *   watch ADDRESS PORT           a datagram every 20 ms; prints `MILLISECONDS ANSWER` for each answer
 *   hold ADDRESS PORT            one TCP connection, a line every 20 ms; prints each answer, ends with `lost CODE` when it breaks
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect, createServer, isIPv6 } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';


function plain(address: string | undefined): string {
  return (address ?? '').replace(/^::ffff:/, '');
}

function serve(name: string, port: number): void {
  const tcp = createServer((socket) => {
    socket.on('data', () => { socket.write(`${name} ${plain(socket.remoteAddress)}\n`); });
    socket.on('error', () => { socket.destroy(); });
  });
  const udp = createSocket('udp4');
  udp.on('message', (_, from) => { udp.send(`${name} ${from.address}`, from.port, from.address); });
  tcp.listen(port, () => { udp.bind(port, () => { console.log('ready'); }); });
}

async function askTcp(address: string, port: number, timeoutMs: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    const end = (answer: string): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(timeoutMs, () => { end('timeout'); });
    socket.once('connect', () => { socket.write('?\n'); });
    socket.once('data', (data) => { end(data.toString().trim()); });
    socket.once('error', (error: NodeJS.ErrnoException) => { end(error.code ?? error.message); });
    socket.once('end', () => { end('closed'); });
  });
}

async function askUdp(socket: UdpSocket, address: string, port: number, timeoutMs: number): Promise<string> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => { end('timeout'); }, timeoutMs);
    const end = (answer: string): void => {
      clearTimeout(timer);
      socket.removeAllListeners();
      resolve(answer);
    };
    socket.once('message', (data) => { end(data.toString()); });
    socket.once('error', (error: NodeJS.ErrnoException) => { end(error.code ?? error.message); });
    // A connected socket learns of ICMP refusals.
    socket.connect(port, address, () => { socket.send('?'); });
  });
}

async function ask(protocol: string, address: string, port: number, count: number, sourcePort: number, timeoutMs: number): Promise<void> {
  const answers: string[] = [];
  for (let i = 0; i < count; i++) {
    if (protocol !== 'udp') answers.push(await askTcp(address, port, timeoutMs));
    else {
      const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
      await new Promise<void>((resolve) => { socket.bind(sourcePort, resolve); });
      answers.push(await askUdp(socket, address, port, timeoutMs));
      socket.close();
    }
  }
  console.log(JSON.stringify(answers));
}

async function hold(address: string, port: number): Promise<void> {
  const socket = connect({ host: address, port });
  socket.on('data', (data) => { process.stdout.write(data.toString()); });
  socket.once('error', (error: NodeJS.ErrnoException) => { console.log(`lost ${error.code ?? ''}`); process.exit(1); });
  socket.once('close', () => { console.log('lost'); process.exit(1); });
  for (;;) {
    socket.write('?\n');
    await sleep(20);
  }
}

function watch(address: string, port: number): void {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  socket.on('message', (data) => { console.log(`${String(Math.round(performance.now()))} ${data.toString()}`); });
  socket.on('error', () => undefined);
  setInterval(() => { socket.send('?', port, address); }, 20);
}

const [mode = '', ...args] = process.argv.slice(2);
if (mode === 'serve') serve(args[0] ?? '', Number(args[1]));
else if (mode === 'ask') await ask(args[0] ?? '', args[1] ?? '', Number(args[2]), Number(args[3]), Number(args[4] ?? 0), Number(args[5] ?? 1500));
else if (mode === 'watch') watch(args[0] ?? '', Number(args[1]));
else await hold(args[0] ?? '', Number(args[1]));
