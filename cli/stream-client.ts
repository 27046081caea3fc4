import type { Duplex } from 'node:stream';
import { SpdyConnection } from '#common/spdy/connection.ts';
import type { RestClient } from './client.ts';

/** Upgrades a request to SPDY/3.1, as exec, attach and portforward want it. Rejects with the server's Status. */
export async function openSpdy(client: RestClient, path: string, protocol: string): Promise<SpdyConnection> {
  const socket: Duplex = await client.upgrade(path, { upgrade: 'SPDY/3.1', 'x-stream-protocol-version': protocol });
  return new SpdyConnection(socket, { role: 'client', maxStreams: 64 });
}
