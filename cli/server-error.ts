import { StatusError, statusCodes, type StatusCode, type StatusDetails } from '#common/errors.ts';
import { unnamedKind } from './error-text.ts';

const shownCharacters = 200;

/** What an answer that is no success says: the server's own Status, or what something else has answered. */
export function statusFrom(http: number, body: string, request: string, server: string): StatusError {
  try {
    const status = JSON.parse(body) as { kind?: string; reason?: string; message?: string; details?: StatusDetails & { readonly retryAfterSeconds?: number } } | null;
    if (status?.kind === 'Status') {
      const code = status.reason !== undefined && Object.hasOwn(statusCodes, status.reason) ? (status.reason as StatusCode) : codeFor(http);
      const waitS = status.details?.retryAfterSeconds;
      return new StatusError(code, status.message || `it answered ${request} with ${String(http)} and no reason`, { details: { ...status.details, kind: status.details?.kind || unnamedKind }, ...(waitS !== undefined && { retryAfterMs: waitS * 1000 }) });
    }
  } catch {
    // Not a Status: something else answered. Say what it said.
  }
  const said = excerpt(body);
  return new StatusError(http === 404 ? 'ServiceUnavailable' : codeFor(http), `the server ${server} answered ${request} with ${String(http)}${said === '' ? '' : `: ${said}`}\n${otherServer}`);
}

/** A success that is no word of the API. */
export function notOfApi(body: string, request: string, server: string): StatusError {
  return new StatusError('ServiceUnavailable', `the server ${server} answered ${request} with: ${excerpt(body) || 'nothing at all'}\n${otherServer}`);
}

const otherServer = "This is no answer of a Kubernetes API: check the address (the kubeconfig's, or --server), and what stands in between.";

/** The start of a text in one line. */
function excerpt(text: string): string {
  const line = text.slice(0, shownCharacters * 2).replaceAll(/\s+/g, ' ').trim();
  return line.length > shownCharacters ? `${line.slice(0, shownCharacters)}…` : line;
}

function codeFor(http: number): StatusCode {
  const found = Object.entries(statusCodes).find(([, row]) => row.http === http);
  return found ? (found[0] as StatusCode) : 'InternalError';
}

/** What stands between us and a server, in words. */
export function connectionError(error: Error & { code?: string }, server: string): StatusError {
  const { code = '' } = error;
  if (code.startsWith('ERR_OSSL_')) return new StatusError('BadRequest', `the certificates of the kubeconfig cannot be used: ${error.message}. Copy it anew from the control plane.`, { cause: error });
  return new StatusError('ServiceUnavailable', wordsOf(code, server) ?? `cannot talk to ${server}: ${error.message}; check the network and the address`, { cause: error });
}

function wordsOf(code: string, server: string): string | undefined {
  const otherCa = `the server ${server} is not the one that this kubeconfig was made for: its certificate comes from another CA. Copy the kubeconfig anew.`;
  const closed = `the server ${server} closed the connection before its answer was whole; try again, and see the server's log if that does not help`;
  const unreachable = `the server ${server} cannot be reached: there is no route to it; check this host's network and the address`;
  const silent = `the server ${server} does not answer; check the network and the address`;
  const words: Readonly<Record<string, string>> = {
    ECONNREFUSED: `the connection to the server ${server} was refused. Is the control plane running there? Start it with 'cleat up', or name another server with --server.`,
    ENOTFOUND: `the name in ${server} cannot be resolved; check the server's address (the kubeconfig's, or --server) and this host's DNS`,
    EAI_AGAIN: `the name in ${server} cannot be resolved now: no DNS server answers; check this host's DNS`,
    ETIMEDOUT: silent, ESOCKETTIMEDOUT: silent, EHOSTUNREACH: unreachable, ENETUNREACH: unreachable, ENETDOWN: unreachable, EADDRNOTAVAIL: unreachable, ECONNRESET: closed, EPIPE: closed,
    CERT_HAS_EXPIRED: `a certificate of ${server} has expired; check this host's clock, and there: cleat certs status`,
    CERT_NOT_YET_VALID: `a certificate of ${server} is not valid yet; check this host's clock`,
    SELF_SIGNED_CERT_IN_CHAIN: otherCa, DEPTH_ZERO_SELF_SIGNED_CERT: otherCa, UNABLE_TO_VERIFY_LEAF_SIGNATURE: otherCa, UNABLE_TO_GET_ISSUER_CERT_LOCALLY: otherCa, CERT_SIGNATURE_FAILURE: otherCa,
    ERR_TLS_CERT_ALTNAME_INVALID: `the certificate of ${server} is not for that address; start the control plane with --tls-san, or use an address that it knows`,
  };
  if (/^ERR_SSL_.*ALERT/.test(code)) return `the server ${server} refused the certificate of the kubeconfig (${code}); copy the kubeconfig anew`;
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_')) return `the server ${server} speaks no TLS: something else listens there; check the address and the port`;
  if (code.startsWith('HPE_')) return `the server ${server} speaks no HTTP: something else listens there; check the address and the port`;
  return words[code];
}
