import { join } from 'node:path';
import type { Clock } from '#common/clock.ts';
import { noSuchPath } from '../apiserver/api-errors.ts';
import { json, type Reply } from '../apiserver/http/reply.ts';
import type { ApiRequest } from '../apiserver/http/request.ts';
import { backup, type BackupConfig, type BackupDeps } from './backup.ts';
import { certificateStatus, rotate, type CertificateDeps } from './certificates.ts';

export interface FleetDeps extends BackupDeps, CertificateDeps {
  readonly clock: Clock;
  /** Begins anew with what the files say by now. */
  readonly again: () => void;
}
export type FleetConfig = BackupConfig;

/** For the answer to be on its way before connections end. */
const farewellMs = 200;

/** `/cleat/v1/...`: what looks after the fleet itself and has no place in Kubernetes' API. Loaded with the first request; who may ask, the API server has decided. */
export async function serveFleet(deps: FleetDeps, config: FleetConfig, request: ApiRequest): Promise<Reply> {
  const pkiDir = join(config.settings.stateDir, 'server/pki');
  switch (`${request.method} ${request.segments.slice(1).join('/')}`) {
    case 'GET v1/backup': return { status: 200, contentType: 'application/octet-stream', body: await backup(deps, config) };
    case 'GET v1/certs': return json(await certificateStatus(deps, pkiDir));
    case 'POST v1/certs/rotate': {
      const flag = (name: string): boolean => request.query.get(name) === 'true';
      await rotate(deps, pkiDir, { ca: flag('ca'), finish: flag('finish'), force: flag('force') });
      deps.clock.after(farewellMs, deps.again);
      return json({});
    }
    default: throw noSuchPath();
  }
}
