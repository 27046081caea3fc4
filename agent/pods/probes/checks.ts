import type { HTTPGetAction } from '#api/gen/types.ts';
import { isStatus, messageOf } from '#common/errors.ts';
import { http } from '#common/node-http.ts';
import type { RuntimeDriver } from '#agent/runtimes/types.ts';
import type { Check, CheckResult, CheckTarget } from './types.ts';

const maxBody = 10 * 1024;

/** Probes from the host, as kubelet does: commands in the container, HTTP, TCP and gRPC to the pod's address. Rejects when a command cannot be run. */
export function systemCheck(driver: RuntimeDriver): Check {
  return async (probe, target, signal) => {
    const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000;
    if (probe.exec) return execCheck(driver, probe.exec.command ?? [], target, timeoutMs, signal);
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    try {
      if (probe.httpGet) return await httpCheck(probe.httpGet, target, bounded);
      if (probe.tcpSocket) return await tcpCheck(probe.tcpSocket.host, portNumber(probe.tcpSocket.port, target), target, bounded);
      if (probe.grpc) return await (await import('./grpc-check.ts')).grpcCheck(target.ip, probe.grpc.port, probe.grpc.service ?? '', bounded);
      return { ok: true, output: '' };
    } catch (error) {
      if (signal.aborted) throw error;
      return { ok: false, output: bounded.aborted ? `probe timed out after ${String(timeoutMs / 1000)}s: ${messageOf(error)}` : messageOf(error) };
    }
  };
}

async function execCheck(driver: RuntimeDriver, command: readonly string[], target: CheckTarget, timeoutMs: number, signal: AbortSignal): Promise<CheckResult> {
  try {
    const { exitCode, output } = await driver.exec(target.containerId, command, timeoutMs, signal);
    return { ok: exitCode === 0, output: output.slice(0, maxBody) };
  } catch (error) {
    if (isStatus(error, 'Timeout')) return { ok: false, output: error.message };
    throw error;
  }
}

async function httpCheck(action: HTTPGetAction, target: CheckTarget, signal: AbortSignal): Promise<CheckResult> {
  const secure = action.scheme === 'HTTPS';
  const { request } = secure ? await import('node:https') : http;
  const host = action.host ?? target.ip;
  const path = action.path ?? '/';
  const headers: Record<string, string> = { 'User-Agent': 'kube-probe/cleat', Accept: '*/*' };
  for (const { name, value } of action.httpHeaders ?? []) headers[name] = value;
  const port = portNumber(action.port, target);
  return new Promise((resolve, reject) => {
    // A probe asks whether the program answers; whom its certificate names is another question.
    const outgoing = request({ host, port, path: path.startsWith('/') ? path : `/${path}`, headers, signal, agent: false, ...(secure && { rejectUnauthorized: false }) }, (response) => {
      const status = response.statusCode ?? 0;
      response.destroy();
      resolve({ ok: status >= 200 && status < 400, output: `HTTP probe failed with statuscode: ${String(status)}` });
    });
    outgoing.once('error', (error) => { reject(new Error(`Get "${secure ? 'https' : 'http'}://${host}:${String(port)}${path}": ${error.message}`)); });
    outgoing.end();
  });
}

async function tcpCheck(host: string | undefined, port: number, target: CheckTarget, signal: AbortSignal): Promise<CheckResult> {
  const { connect } = await import('node:net');
  return new Promise((resolve, reject) => {
    const socket = connect({ host: host === undefined || host === '' ? target.ip : host, port, signal });
    socket.once('connect', () => { socket.destroy(); resolve({ ok: true, output: '' }); });
    socket.once('error', (error) => { reject(error); });
  });
}

function portNumber(port: number | string, target: CheckTarget): number {
  if (typeof port === 'number') return port;
  const named = target.ports.get(port) ?? Number(port);
  if (!Number.isInteger(named)) throw new Error(`couldn't find port: ${port}`);
  return named;
}
