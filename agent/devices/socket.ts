import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { createServer, connect, type Server, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import { isAbort, untilAborted } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';

export interface HostSocketDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** Called before a directory or the socket is made where there was none. */
  readonly record: (kind: 'directory' | 'file', path: string) => Promise<void>;
  /** What speaks there; asked for when the first client comes, so that a host without any pays nothing for it. */
  readonly speaker: () => Promise<(socket: Socket) => void>;
}

const retry = { baseMs: 200, maxMs: 30_000, jitter: 0.2 };
/** Longer ones cannot be bound; see unix(7). */
const maxPathBytes = 107;

/**
 * A socket at a place that others know, such as the kubelet's. Another program that answers there is left alone, and
 * its end waited for. With `clear`, sockets beside it are removed first, as the kubelet does: that, and the coming of
 * the socket, is how clients learn that they must register again.
 */
export async function serveHostSocket(deps: HostSocketDeps, path: string, { clear }: { readonly clear: boolean }, signal: AbortSignal): Promise<void> {
  const { clock, log } = deps;
  if (Buffer.byteLength(path) > maxPathBytes) {
    log.warn({ path }, 'the path is too long for a socket: nobody can connect there');
    return;
  }
  const server = createServer((socket) => { hand(deps, socket); });
  try {
    for (let failures = 0; ;) {
      try {
        await open(deps, server, path, clear);
        break;
      } catch (error) {
        if (failures++ === 0) log.warn({ path, err: messageOf(error) }, 'cannot listen there; trying again');
        await clock.sleep(backoffMs(retry, failures, Math.random), signal);
      }
    }
    server.on('error', (error) => { log.warn({ path, err: messageOf(error) }, 'a client could not be accepted'); });
    await untilAborted(signal);
  } catch (error) {
    if (!isAbort(error, signal)) throw error;
  } finally {
    server.close();
  }
}

function hand({ speaker, log }: HostSocketDeps, socket: Socket): void {
  socket.on('error', () => undefined);
  // Nothing is lost meanwhile: the socket is paused.
  speaker().then((speak) => { speak(socket); }, (error: unknown) => {
    log.error({ err: messageOf(error) }, 'a client cannot be answered');
    socket.destroy();
  });
}

async function open({ record }: HostSocketDeps, server: Server, path: string, clear: boolean): Promise<void> {
  const folder = dirname(path);
  await makeFolder(folder, record);
  if (await answers(path)) throw new Error(`another program serves ${path}, such as a kubelet or another agent: stop it, or give this agent a folder of its own with --device-plugin-dir`);
  const stale = clear ? (await readdir(folder)).map((name) => join(folder, name)) : [path];
  for (const file of stale) if ((await stat(file).catch(() => undefined))?.isSocket() === true) await rm(file, { force: true });
  await record('file', path);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => { server.off('error', reject); resolve(); });
  });
}

async function makeFolder(folder: string, record: HostSocketDeps['record']): Promise<void> {
  if (await stat(folder).then(() => true, () => false)) return;
  if (dirname(folder) !== folder) await makeFolder(dirname(folder), record);
  await record('directory', folder);
  await mkdir(folder, { recursive: true, mode: 0o750 });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => { socket.destroy(); resolve(true); });
    socket.on('error', () => { resolve(false); });
  });
}
