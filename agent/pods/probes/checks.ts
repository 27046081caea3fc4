import { connect } from 'node:net';
import type { Clock } from '#common/clock.ts';
import { isStatus, messageOf } from '#common/errors.ts';
import type { RuntimeDriver } from '#agent/runtimes/types.ts';
import { httpCheck } from './http-check.ts';
import type { Check, CheckResult, CheckTarget } from './types.ts';

const maxOutput = 10 * 1024;
/** When this process is later than that, it was the host that had no time. */
const lateMs = 100;

/** Probes from the host, as kubelet does: commands in the container, HTTP, TCP and gRPC to the pod's address. Rejects when a command cannot be run, and when a named port is not the container's. */
export function systemCheck(driver: RuntimeDriver, clock: Clock): Check {
  return async (probe, target, signal) => {
    const { exec, httpGet, tcpSocket, grpc, timeoutSeconds = 1 } = probe;
    if (exec) return execCheck(driver, exec.command ?? [], target, timeoutSeconds * 1000, signal);
    const named = httpGet?.port ?? tcpSocket?.port;
    // One that the container does not have says nothing of its program.
    const port = named === undefined ? 0 : portNumber(named, target);
    // Cheaper than a signal made of two, which V8 has to look after until it collects them.
    const bounded = new AbortController();
    const stop = (): void => { bounded.abort(); };
    const timeoutMs = timeoutSeconds * 1000;
    const dueMs = clock.monotonic() + timeoutMs;
    let cancel = clock.after(timeoutMs, () => {
      // The answer may be there, and not have been read for the same reason.
      const late = clock.monotonic() - dueMs;
      if (late > lateMs) cancel = clock.after(Math.min(late, timeoutMs), stop);
      else stop();
    });
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
    try {
      if (httpGet) return await httpCheck(httpGet, hostOf(httpGet.host, target), port, bounded.signal);
      if (tcpSocket) return await tcpCheck(hostOf(tcpSocket.host, target), port, bounded.signal);
      if (grpc) return await (await import('./grpc-check.ts')).grpcCheck(target.ip, grpc.port, grpc.service ?? '', bounded.signal);
      return { ok: true, output: '' };
    } catch (error) {
      signal.throwIfAborted();
      return { ok: false, output: bounded.signal.aborted ? `probe timed out after ${String(timeoutSeconds)}s: ${messageOf(error)}` : messageOf(error) };
    } finally {
      cancel();
      signal.removeEventListener('abort', stop);
    }
  };
}

async function execCheck(driver: RuntimeDriver, command: readonly string[], target: CheckTarget, timeoutMs: number, signal: AbortSignal): Promise<CheckResult> {
  try {
    const { exitCode, output } = await driver.exec(target.containerId, command, timeoutMs, signal);
    return { ok: exitCode === 0, output: output.slice(0, maxOutput) };
  } catch (error) {
    if (isStatus(error, 'Timeout')) return { ok: false, output: error.message };
    throw error;
  }
}

async function tcpCheck(host: string, port: number, signal: AbortSignal): Promise<CheckResult> {
  const socket = connect({ host, port });
  const abort = (): void => { socket.destroy(new Error(`no connection to ${host}:${String(port)} in time`)); };
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.on('error', reject);
    });
    return { ok: true, output: '' };
  } finally {
    signal.removeEventListener('abort', abort);
    socket.destroy();
  }
}

function hostOf(named: string | undefined, { ip }: CheckTarget): string {
  return named === undefined || named === '' ? ip : named;
}

function portNumber(port: number | string, target: CheckTarget): number {
  if (typeof port === 'number') return port;
  const named = target.ports.get(port) ?? Number(port);
  if (!Number.isInteger(named)) throw new Error(`couldn't find port: ${port}`);
  return named;
}
