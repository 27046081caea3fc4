import { lstatSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { messageOf, StatusError } from '#common/errors.ts';

/** Where a server is to listen. */
export type Listening = { readonly address: string; readonly port: number } | { readonly socket: string };

/** Resolves with the address as people write it. A socket is for its owner alone; one that is left of an earlier run goes. */
export async function listen(server: Server, where: Listening): Promise<string> {
  const named = 'socket' in where ? `unix ${where.socket}` : `tcp ${joined(where.address, where.port)}`;
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  server.once('error', (error: NodeJS.ErrnoException) => {
    const why = error.code === 'EADDRINUSE' ? 'address already in use' : error.code === 'EACCES' ? 'permission denied' : messageOf(error);
    reject(new StatusError('BadRequest', `listen ${named}: bind: ${why}`, { cause: error }));
  });
  const listening = (): void => {
    const bound = server.address() as AddressInfo | string;
    resolve(typeof bound === 'string' ? bound : joined(bound.address, bound.port));
  };
  if ('socket' in where) {
    if (lstatSync(where.socket, { throwIfNoEntry: false })?.isSocket() === true) rmSync(where.socket);
    const before = process.umask(0o077);
    try {
      server.listen(where.socket, listening);
    } finally {
      process.umask(before);
    }
  } else {
    server.listen({ port: where.port, ...(where.address !== '' && { host: where.address }) }, listening);
  }
  return promise;
}

function joined(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${String(port)}` : `${address}:${String(port)}`;
}
