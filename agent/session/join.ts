import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { isStatus, statusCodes, StatusError, toStatus } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import { parseJoinToken, type JoinToken } from '#common/pki/join-token.ts';
import { makeSigningRequest } from '#common/pki/signing-request.ts';
import type { EdgeServices } from '#proto/edge/v1/services.ts';
import { dialBackoff } from './dial-backoff.ts';
import { EdgeClient } from './edge-client.ts';
import { IdentityFiles, type Identity } from './identity.ts';
import { fetchPinnedCa, formatServerAddress, parseServerAddress, type ServerAddress } from './server-probe.ts';

export interface JoinConfig {
  readonly stateDir: string;
  /** `https://HOST:6443`. */
  readonly server: string;
  /** `ID.SECRET.FINGERPRINT`; empty when none was given. Used only by a host that has not joined. */
  readonly token: string;
  /** `--node-name`; empty when none was given. */
  readonly nodeName: string;
  /** Used when no name was given. */
  readonly hostname: string;
}

export interface JoinDeps {
  readonly services: EdgeServices;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
}

/**
 * This host's identity: as it was kept, without asking anybody, or by joining with the token. Joining waits for a
 * control plane that cannot be reached; it rejects when the token, the CA or the name is wrong, with what to do.
 */
export async function joinOrLoad(deps: JoinDeps, config: JoinConfig, signal: AbortSignal): Promise<Identity> {
  const files = new IdentityFiles(config.stateDir);
  const kept = await files.load();
  if (kept) {
    if (config.nodeName !== '' && config.nodeName !== kept.nodeName) {
      throw new StatusError('Conflict', `this host joined as ${kept.nodeName}; start it without --node-name, or, to join as ${config.nodeName}, remove ${files.folder} and use a new token`);
    }
    return kept;
  }
  if (config.token === '') throw new StatusError('Unauthorized', 'this host has not joined a cluster: run `cleat token create` on the control plane and start the agent with --token TOKEN');
  const address = parseServerAddress(config.server);
  const token = parseJoinToken(config.token);
  const nodeName = config.nodeName || config.hostname.toLowerCase();
  for (let failures = 1; ; failures++) {
    try {
      return await enrol(deps, files, address, token, nodeName, signal);
    } catch (error) {
      signal.throwIfAborted();
      const status = toStatus(error);
      if (!statusCodes[status.code].retryable) throw status;
      deps.log.warn({ component: 'session', server: formatServerAddress(address), err: status.message }, 'joining has to wait');
      await deps.clock.sleep(backoffMs(dialBackoff, failures, deps.random), signal);
    }
  }
}

async function enrol(deps: JoinDeps, files: IdentityFiles, address: ServerAddress, token: JoinToken, nodeName: string, signal: AbortSignal): Promise<Identity> {
  const caPem = await fetchPinnedCa(address, token.fingerprint, signal);
  const keyPem = await files.key();
  const client = new EdgeClient(deps.services, address, { caPem });
  try {
    const response = await client.enrol({ token: `${token.id}.${token.secret}`, nodeName, certificateSigningRequest: makeSigningRequest(keyPem, { commonName: nodeName }) }, signal);
    deps.log.info({ component: 'session', node: nodeName, server: formatServerAddress(address) }, 'joined the cluster');
    return await files.save(keyPem, response.certificate, response.caCertificates);
  } finally {
    client.close();
  }
}

/** A new certificate for the same key, kept on disk. The control plane takes an expired one when it knows the key. */
export async function renewIdentity(client: EdgeClient, files: IdentityFiles, identity: Identity, signal: AbortSignal): Promise<Identity> {
  try {
    const response = await client.renew({ certificateSigningRequest: makeSigningRequest(identity.keyPem, { commonName: identity.nodeName }) }, signal);
    return await files.save(identity.keyPem, response.certificate, response.caCertificates);
  } catch (error) {
    if (!isStatus(error, 'Unauthorized')) throw error;
    throw new StatusError('Unauthorized', `${error.message}; to join again, remove ${files.folder} and start the agent with --token TOKEN`, { cause: error });
  }
}
