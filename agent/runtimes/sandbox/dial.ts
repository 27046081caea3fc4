import { connect } from 'node:net';

/**
 * A program of its own, because a process cannot lend itself to another network: connects its standard input and
 * output with a port on the loopback of the network that it was started in. Usage: dial.ts PORT
 */
const port = Number(process.argv[2]);

function dial(host: string, otherwise: (error: Error) => void): void {
  const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
  socket.once('error', otherwise);
  socket.once('connect', () => {
    socket.off('error', otherwise);
    socket.once('error', fail);
    process.stdin.pipe(socket);
    socket.pipe(process.stdout);
    // Nobody reads any more.
    process.stdout.once('error', () => { process.exit(0); });
    socket.once('close', () => { process.exit(0); });
  });
}

function fail(error: Error): void {
  process.stderr.write(`${error.message}\n`, () => { process.exit(1); });
}

dial('127.0.0.1', (error) => { dial('::1', () => { fail(error); }); });
