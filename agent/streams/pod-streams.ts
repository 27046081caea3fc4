import { StatusError } from '#common/errors.ts';
import type { Channels } from '#common/streams/channels.ts';
import { channelsOfSocket } from '#common/streams/socket-channels.ts';
import type { Container, RuntimeDriver } from '#agent/runtimes/types.ts';
import type { StreamRequest } from '#agent/session/types.ts';

const connectMs = 30_000;

interface ContainerName { readonly podUid: string; readonly container: string }

/** Opens what a user wants to be connected to: a command in a container, its program, a port of a pod or of an address. */
export async function openStream(driver: RuntimeDriver, request: Exclude<StreamRequest, { kind: 'images' | 'host' }>, signal: AbortSignal): Promise<Channels> {
  switch (request.kind) {
    case 'exec': return inContainer(driver, request, signal, (id) => driver.execStream(id, request.command, streamsOf(request), signal));
    case 'attach': return inContainer(driver, request, signal, (id) => driver.attach(id, streamsOf(request), signal));
    case 'port-forward': return driver.portForward(await readySandbox(driver, request.podUid, signal), request.port, signal);
    case 'dial': return dial(request, signal);
  }
}

/** With a terminal there is one output. */
function streamsOf({ stdin, stdout, stderr, tty }: Extract<StreamRequest, { kind: 'exec' | 'attach' }>): { stdin: boolean; stdout: boolean; stderr: boolean; tty: boolean } {
  return { stdin, stdout, stderr: stderr && !tty, tty };
}

async function inContainer(driver: RuntimeDriver, request: ContainerName, signal: AbortSignal, connect: (containerId: string) => Promise<Channels>): Promise<Channels> {
  const { id } = await runningContainer(driver, request, signal);
  try {
    return await connect(id);
  } catch (error) {
    // One that has ended meanwhile is told in our words, not in each runtime's.
    signal.throwIfAborted();
    await runningContainer(driver, request, signal);
    throw error;
  }
}

async function runningContainer(driver: RuntimeDriver, { podUid, container: name }: ContainerName, signal: AbortSignal): Promise<Container> {
  const { containers } = await driver.list(signal, podUid);
  const attempts = containers.filter((container) => container.name === name);
  const running = attempts.find(({ state }) => state === 'running');
  if (running) return running;
  if (attempts.length === 0) throw new StatusError('NotFound', `container not found ("${name}")`);
  throw new StatusError('BadRequest', `container ${name} is not running: ${attempts.some(({ state }) => state === 'exited') ? 'it has ended; what it wrote is in its log' : 'it has not started yet'}`);
}

async function readySandbox(driver: RuntimeDriver, podUid: string, signal: AbortSignal): Promise<string> {
  const { sandboxes } = await driver.list(signal, podUid);
  const sandbox = sandboxes.find(({ state }) => state === 'ready');
  if (!sandbox) throw new StatusError('BadRequest', 'unable to forward port because pod is not running');
  return sandbox.id;
}

async function dial({ host, port }: { readonly host: string; readonly port: number }, signal: AbortSignal): Promise<Channels> {
  const { connect } = await import('node:net');
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, allowHalfOpen: true, noDelay: true, signal, timeout: connectMs });
    const fail = (error: Error): void => {
      socket.destroy();
      reject(new StatusError('ServiceUnavailable', `dial tcp ${host.includes(':') ? `[${host}]` : host}:${String(port)}: ${reasons[(error as NodeJS.ErrnoException).code ?? ''] ?? error.message}`, { cause: error }));
    };
    socket.once('error', fail);
    socket.once('timeout', () => { fail(Object.assign(new Error('timed out'), { code: 'ETIMEDOUT' })); });
    socket.once('connect', () => {
      socket.setTimeout(0);
      socket.off('error', fail);
      socket.on('error', () => undefined); // its close is what counts
      resolve(channelsOfSocket(socket));
    });
  });
}

/** As Kubernetes' clients know them. */
const reasons: Readonly<Record<string, string>> = { ECONNREFUSED: 'connect: connection refused', ETIMEDOUT: 'i/o timeout', EHOSTUNREACH: 'connect: no route to host', ENETUNREACH: 'connect: network is unreachable' };
