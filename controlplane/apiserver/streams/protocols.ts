import type { IncomingHttpHeaders } from 'node:http';
import { StatusError } from '#common/errors.ts';
import { badRequest } from '../api-errors.ts';

/** How a client wants to talk once its connection is upgraded. */
export interface Upgrade {
  readonly transport: 'websocket' | 'spdy';
  /** The protocol chosen; empty when the client named none. */
  readonly protocol: string;
}

/** In the server's order for WebSockets, where the client's order means nothing; SPDY takes the first that the client names. */
export interface Offer {
  readonly websocket: readonly string[];
  readonly spdy: readonly string[];
}

/** Source: https://kubernetes.io/docs/concepts/architecture/streaming-api/ and the remotecommand protocols v1 to v5. */
export const commandOffer: Offer = {
  websocket: ['v5.channel.k8s.io', 'v4.channel.k8s.io', 'v4.base64.channel.k8s.io', 'channel.k8s.io', 'base64.channel.k8s.io', ''],
  spdy: ['v4.channel.k8s.io', 'v3.channel.k8s.io', 'v2.channel.k8s.io', 'channel.k8s.io', ''],
};

/** Port-forward's second version is SPDY inside of WebSocket messages. */
export const tunnelledSpdy = 'SPDY/3.1+portforward.k8s.io';
export const portForwardOffer: Offer = {
  websocket: [tunnelledSpdy, 'v4.channel.k8s.io', 'v4.base64.channel.k8s.io', 'channel.k8s.io', 'base64.channel.k8s.io', ''],
  spdy: ['portforward.k8s.io', ''],
};

const tokenProtocol = 'base64url.bearer.authorization.k8s.io.';

/** What upgrade is asked for: `websocket`, `spdy/3.1`, another, or none. */
export function upgradeOf(headers: IncomingHttpHeaders): string {
  return listed(headers.connection).some((token) => token.toLowerCase() === 'upgrade') ? (headers.upgrade ?? '').trim().toLowerCase() : '';
}

/** Throws `BadRequest` when no upgrade that exists here is asked for, and `Forbidden` when no protocol is known to both. */
export function negotiate(headers: IncomingHttpHeaders, offer: Offer): Upgrade {
  const upgrade = upgradeOf(headers);
  if (upgrade === 'websocket') {
    // Looked at before anything is started for the client.
    if (headers['sec-websocket-version'] !== '13' || !/^[+/0-9A-Za-z]{22}==$/.test(headers['sec-websocket-key'] ?? '')) throw badRequest('the WebSocket handshake needs Sec-WebSocket-Version: 13 and a Sec-WebSocket-Key of 16 bytes');
    const asked = askedProtocols(headers);
    const protocol = offer.websocket.find((known) => (asked.length === 0 ? known === '' : asked.includes(known)));
    if (protocol === undefined) throw badRequest(`none of the WebSocket protocols ${JSON.stringify(asked)} is served; served are ${offer.websocket.filter((known) => known !== '').join(', ')}`);
    return { transport: 'websocket', protocol };
  }
  if (upgrade === 'spdy/3.1') {
    const asked = listed(headers['x-stream-protocol-version']);
    const protocol = asked.length === 0 ? offer.spdy.find((known) => known === '') : asked.find((name) => offer.spdy.includes(name));
    if (protocol === undefined) throw new StatusError('Forbidden', `unable to upgrade: unable to negotiate protocol: client supports [${asked.join(' ')}], server supports [${offer.spdy.filter((known) => known !== '').join(' ')}]`);
    return { transport: 'spdy', protocol };
  }
  throw badRequest('Upgrade request required');
}

/** WebSocket protocols that the client offers, in its order. */
export function askedProtocols(headers: IncomingHttpHeaders): string[] {
  return listed(headers['sec-websocket-protocol']).filter((protocol) => !protocol.startsWith(tokenProtocol));
}

/** A bearer token that a browser sends as a WebSocket protocol, since it can set no headers; as an Authorization header would have it. */
export function webSocketAuthorization(headers: IncomingHttpHeaders): string | undefined {
  if (upgradeOf(headers) !== 'websocket') return undefined;
  const found = listed(headers['sec-websocket-protocol']).find((protocol) => protocol.startsWith(tokenProtocol));
  return found === undefined ? undefined : `Bearer ${Buffer.from(found.slice(tokenProtocol.length), 'base64url').toString('utf8')}`;
}

function listed(header: string | string[] | undefined): string[] {
  return (Array.isArray(header) ? header.join(',') : header ?? '').split(',').map((item) => item.trim()).filter((item) => item !== '');
}
