import { X509Certificate } from 'node:crypto';
import { connect, type TLSSocket } from 'node:tls';
import { messageOf, StatusError } from '#common/errors.ts';
import { fingerprintOf } from '#common/pki/certificate.ts';
import { isSignedBy } from '#common/pki/validity.ts';
import { agentsServerName } from '#proto/edge/v1/messages.ts';

/** Where the control plane listens. */
export interface ServerAddress {
  /** Without brackets for IPv6. */
  readonly host: string;
  readonly port: number;
}

/** `https://HOST:PORT`; the port is 6443 when left out. */
export function parseServerAddress(url: string): ServerAddress {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed?.protocol !== 'https:' || parsed.hostname === '') throw new StatusError('Invalid', `--server ${JSON.stringify(url)} is no server address; expected a URL such as https://10.0.0.1:6443`);
  return { host: parsed.hostname.replace(/^\[(.*)\]$/, '$1'), port: parsed.port === '' ? 6443 : Number(parsed.port) };
}

export function formatServerAddress({ host, port }: ServerAddress): string {
  return host.includes(':') ? `[${host}]:${String(port)}` : `${host}:${String(port)}`;
}

const timeoutMs = 10_000;

/**
 * The CA certificate of a server that is not trusted yet, after checking that its SHA-256 is `fingerprint` and that
 * it signed the server's own certificate. Nothing is sent to the server but the TLS handshake.
 */
export async function fetchPinnedCa(address: ServerAddress, fingerprint: string, signal: AbortSignal): Promise<string> {
  const socket = await handshake(address, undefined, signal);
  try {
    const chain = chainOf(socket);
    const [leaf] = chain;
    const ca = chain.find((certificate) => fingerprintOf(certificate) === fingerprint);
    if (!leaf || !ca) {
      const seen = chain.at(-1);
      throw new StatusError('Forbidden', `the server at ${formatServerAddress(address)} is not the control plane that the token is for: its CA is ${seen ? fingerprintOf(seen).slice(0, 16) : 'unknown'}…, the token names ${fingerprint.slice(0, 16)}…; check --server, or make a token there with: cleat token create`);
    }
    if (leaf === ca || !leadsTo(chain, ca) || leaf.checkHost(agentsServerName) === undefined) {
      throw new StatusError('Forbidden', `the server at ${formatServerAddress(address)} shows the right CA but no certificate of a control plane; somebody may be in between`);
    }
    return ca.toString();
  } finally {
    socket.destroy();
  }
}

/** Whether every certificate was signed by the next, up to the CA: while the CA is being replaced, the old one vouches for the new. */
function leadsTo(chain: readonly X509Certificate[], ca: X509Certificate): boolean {
  const path = chain.slice(0, chain.indexOf(ca) + 1);
  return path.every((certificate, i) => { const issuer = path[i + 1]; return issuer === undefined || isSignedBy(certificate, issuer); });
}

/** Why a server cannot be talked to, in words that help; undefined when a TLS connection succeeds. */
export async function explainFailure(address: ServerAddress, caPem: string, nowMs: number, signal: AbortSignal): Promise<StatusError | undefined> {
  try {
    const socket = await handshake(address, caPem, signal);
    socket.destroy();
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    const { code } = ((error instanceof StatusError ? error.cause : error) ?? {}) as NodeJS.ErrnoException;
    const where = formatServerAddress(address);
    if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') {
      return new StatusError('ServiceUnavailable', `by this host's clock, ${new Date(nowMs).toISOString()}, the certificate of the control plane at ${where} is not valid; check this host's clock, then that of the control plane`, { cause: error });
    }
    if (code?.startsWith('SELF_SIGNED') || code?.startsWith('UNABLE_TO') || code === 'CERT_SIGNATURE_FAILURE') {
      return new StatusError('ServiceUnavailable', `the server at ${where} is not the control plane that this host joined: another CA signed its certificate; check --server, or remove this host's agent/pki folder and join again with a token`, { cause: error });
    }
    return error instanceof StatusError ? error : new StatusError('ServiceUnavailable', messageOf(error), { cause: error });
  }
}

function handshake(address: ServerAddress, caPem: string | undefined, signal: AbortSignal): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: address.host, port: address.port, servername: agentsServerName, ALPNProtocols: ['h2'], timeout: timeoutMs,
      ...(caPem === undefined ? { rejectUnauthorized: false } : { ca: caPem }),
    });
    const fail = (why: string, cause: unknown): void => {
      socket.destroy();
      reject(new StatusError('ServiceUnavailable', `cannot reach the control plane at ${formatServerAddress(address)}: ${why}; check --server, that it is running, and that no firewall is in between`, { cause }));
    };
    const abort = (): void => { socket.destroy(); reject(signal.reason as Error); };
    if (signal.aborted) { abort(); return; }
    signal.addEventListener('abort', abort, { once: true });
    socket.once('close', () => { signal.removeEventListener('abort', abort); fail('the connection was closed', undefined); });
    socket.once('timeout', () => { fail('no answer', Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' })); });
    socket.on('error', (error) => { fail(error.message, error); });
    socket.once('secureConnect', () => { resolve(socket); });
  });
}

/** The certificates that the server sent, its own first. */
function chainOf(socket: TLSSocket): X509Certificate[] {
  const chain: X509Certificate[] = [];
  const first = socket.getPeerCertificate(true);
  for (let current = first; 'raw' in current && chain.length < 8; current = current.issuerCertificate) {
    chain.push(new X509Certificate(current.raw));
    if (!('issuerCertificate' in current) || current.issuerCertificate === current) break;
  }
  return chain;
}
