import { setMaxListeners } from 'node:events';
import { dispatch } from './dispatch.ts';
import { errorText } from './error-text.ts';
import { commands, usage } from './registry.ts';
import type { Io } from './types.ts';

const interrupt = new AbortController();
// Each request that is under way listens, and each that waits for a slow reader; there is no limit to these.
setMaxListeners(0, interrupt.signal, process.stdout);
const io: Io = {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  env: process.env,
  stdin: process.stdin,
  terminal: process.stdout.isTTY,
  interrupted: interrupt.signal,
};
// The reader of a pipe may leave early (`cleat get pods | head -1`); that is not a failure of ours. Nobody may read what is wrong, too.
process.stderr.on('error', () => undefined);
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') io.err(`error: cannot write to standard output: ${error.message}\n`);
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});
// One Ctrl-C may arrive twice, from the terminal and from npm; one that comes later means that the user will not wait.
const impatientMs = 1000;
const lingerMs = 1000;
let interruptedMs = 0;
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    if (!interrupt.signal.aborted) interruptedMs = performance.now();
    else if (performance.now() - interruptedMs > impatientMs) process.exit(130);
    interrupt.abort(new Error(name));
  });
}

// Without top-level await, which a single executable cannot have.
dispatch(process.argv.slice(2), { commands, usage }, io).then((code) => { process.exitCode = code; }, (error: unknown) => {
  process.exitCode = interrupt.signal.aborted ? 130 : 1;
  if (!interrupt.signal.aborted) io.err(`${errorText(error)}\n`);
}).finally(() => {
  // All that matters is closed by now: who asked for the end does not wait for something that was forgotten.
  if (interrupt.signal.aborted) setTimeout(() => { process.exit(); }, lingerMs).unref();
});
