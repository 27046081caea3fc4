import type { ServerHttp2Session } from 'node:http2';

export interface IdleLimits {
  /** A new connection must bring its first request within this time. */
  readonly firstRequestMs: number;
  /** A connection without requests under way is closed, gracefully, after this time. */
  readonly idleMs: number;
}

/** Ends HTTP/2 connections that ask nothing, so that strangers cannot use up the places. Node does it for HTTP/1.1. */
export function guardIdle(session: ServerHttp2Session, { firstRequestMs, idleMs }: IdleLimits): void {
  let open = 0;
  let timer: NodeJS.Timeout | undefined = setTimeout(() => { session.destroy(); }, firstRequestMs);
  session.on('stream', (stream) => {
    clearTimeout(timer);
    timer = undefined;
    open++;
    stream.once('close', () => {
      open--;
      if (open === 0 && !session.destroyed) timer = setTimeout(() => { session.close(); }, idleMs).unref();
    });
  });
  session.once('close', () => { clearTimeout(timer); });
}
