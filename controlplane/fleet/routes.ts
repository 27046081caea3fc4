import { noSuchPath } from '../apiserver/api-errors.ts';
import type { Reply } from '../apiserver/http/reply.ts';
import type { ApiRequest } from '../apiserver/http/request.ts';
import { backup, type BackupConfig, type BackupDeps } from './backup.ts';

export type FleetDeps = BackupDeps;
export type FleetConfig = BackupConfig;

/** `/cleat/v1/...`: what looks after the fleet itself and has no place in Kubernetes' API. Loaded with the first request; who may ask, the API server has decided. */
export async function serveFleet(deps: FleetDeps, config: FleetConfig, request: ApiRequest): Promise<Reply> {
  const [, version, what] = request.segments;
  if (version === 'v1' && request.segments.length === 3 && what === 'backup' && request.method === 'GET') {
    return { status: 200, contentType: 'application/octet-stream', body: await backup(deps, config) };
  }
  throw noSuchPath();
}
