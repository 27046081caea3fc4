import { randomInt } from 'node:crypto';
import { noSuchPath } from '../api-errors.ts';
import { asMetadata, asStored, asTable } from '../event-format.ts';
import { objectForm } from '../http/accept.ts';
import { jsonType, type Reply } from '../http/reply.ts';
import { parseWatchOptions } from '../list-options.ts';
import { openWatch } from '../watch.ts';
import type { KindCall, RouteDeps } from './types.ts';

export interface WatchConfig {
  /** Watches that name no timeout end after this, or up to twice as long, so that they do not all return at once. */
  readonly minTimeoutMs: number;
  readonly bookmarkMs: number;
}

const maxTimeoutSeconds = 24 * 3600;

/** `?watch=1`: a stream of events that ends at its timeout, with its client, or with the server. */
export async function serveWatch(deps: RouteDeps, config: WatchConfig, { request, kind, path }: KindCall): Promise<Reply> {
  const given = parseWatchOptions(request.query);
  // The old form of a watch of one object has its name in the path.
  const options = path.name === undefined ? given : { ...given, fieldSelector: [`metadata.name=${path.name}`, given.fieldSelector].filter(Boolean).join(',') };
  if (path.subresource !== undefined) throw noSuchPath();
  const wanted = objectForm(request);
  const format = wanted.form === 'object' ? asStored : wanted.form === 'metadata' ? asMetadata(wanted.apiVersion) : asTable(kind, deps.clock, wanted);
  const { timeoutSeconds } = options;
  const timeoutMs = timeoutSeconds !== undefined && timeoutSeconds > 0
    ? Math.min(timeoutSeconds, maxTimeoutSeconds) * 1000
    : config.minTimeoutMs + randomInt(Math.max(1, config.minTimeoutMs));
  const signal = kind.retired ? AbortSignal.any([request.signal, kind.retired]) : request.signal;
  const body = await openWatch(deps, { kind, namespace: path.namespace, options, format, timeoutMs, bookmarkMs: config.bookmarkMs, signal });
  return { status: 200, contentType: jsonType, body };
}
