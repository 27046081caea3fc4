import { join } from 'node:path';
import type { Clock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { noSuchPath } from '../apiserver/api-errors.ts';
import { json, type Reply } from '../apiserver/http/reply.ts';
import type { ApiRequest } from '../apiserver/http/request.ts';
import type { NodeGateway } from '../apiserver/types.ts';
import { backup, type BackupConfig, type BackupDeps } from './backup.ts';
import { certificateStatus, rotate, type CertificateDeps } from './certificates.ts';
import { Executables } from './executables.ts';
import { runHostTask } from './host-task.ts';
import { keepBackup } from './kept-backups.ts';

export interface FleetDeps extends BackupDeps, CertificateDeps {
  readonly clock: Clock;
  readonly gateway: Pick<NodeGateway, 'open'>;
  /** Begins anew with what the files say by now. */
  readonly again: () => void;
}
export type FleetConfig = BackupConfig;

/** For the answer to be on its way before connections end. */
const farewellMs = 200;

/** `/cleat/v1/...`: what looks after the fleet itself and has no place in Kubernetes' API. Loaded with the first request; who may ask, the API server has decided. */
export async function serveFleet(deps: FleetDeps, config: FleetConfig, request: ApiRequest): Promise<Reply> {
  const pkiDir = join(config.settings.stateDir, 'server/pki');
  const [, version, what, name = '', verb] = request.segments;
  if (version !== 'v1') throw noSuchPath();
  switch (`${request.method} ${request.segments.slice(2).join('/')}`) {
    case 'GET backup': return { status: 200, contentType: 'application/octet-stream', body: await backup(deps, config) };
    case 'POST backups': return json(await keepBackup(deps, config, prefixOf(request.query.get('prefix') ?? 'manual')));
    case 'GET certs': return json(await certificateStatus(deps, pkiDir));
    case 'POST certs/rotate': {
      const flag = (query: string): boolean => request.query.get(query) === 'true';
      await rotate(deps, pkiDir, { ca: flag('ca'), finish: flag('finish'), force: flag('force') });
      deps.clock.after(farewellMs, deps.again);
      return json({});
    }
    default:
  }
  if (what === 'executables' && request.segments.length === 4) return serveExecutable(new Executables(config.settings.stateDir), name, request);
  if (what === 'nodes' && request.method === 'POST' && request.segments.length === 5) return serveNode(deps, config, name, verb ?? '', request);
  throw noSuchPath();
}

async function serveExecutable(executables: Executables, sha256: string, request: ApiRequest): Promise<Reply> {
  if (request.method === 'GET') return json(await executables.state(sha256));
  if (request.method !== 'PUT') throw noSuchPath();
  await executables.add(sha256, Number(request.query.get('offset')), await request.body(), request.query.get('last') === 'true');
  return json(await executables.state(sha256));
}

async function serveNode({ gateway }: FleetDeps, { settings }: FleetConfig, name: string, verb: string, request: ApiRequest): Promise<Reply> {
  const sha256 = request.query.get('sha256') ?? '';
  if (verb === 'executable') return { status: 200, contentType: 'application/x-ndjson', body: new Executables(settings.stateDir).push(gateway, name, sha256, request.signal) };
  if (verb !== 'upgrade') throw noSuchPath();
  const confirmMs = Number(request.query.get('confirmMs'));
  const message = await runHostTask(gateway, name, { task: 'upgrade', sha256, version: request.query.get('version') ?? '', confirmMs }, undefined, request.signal);
  return json({ message });
}

function prefixOf(text: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9.+-]{0,80}$/.test(text) || text.startsWith('daily')) throw new StatusError('BadRequest', 'the prefix of a backup is letters, digits, dots and dashes');
  return text;
}
