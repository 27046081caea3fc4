import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import type { Reply } from './reply.ts';
import type { ApiRequest } from './request.ts';

/** Smaller bodies fit few packets as they are. */
const minBytes = 4096;

/** For documents that are large, alike and seldom read: gzip where the client takes it. Lists of objects go out as they are stored. */
export async function compressed({ headers }: Pick<ApiRequest, 'headers'>, reply: Reply): Promise<Reply> {
  const { body } = reply;
  if (!(typeof body === 'string' || body instanceof Uint8Array) || body.length < minBytes || reply.status !== 200) return reply;
  const vary = [reply.headers?.['Vary'], 'Accept-Encoding'].filter(Boolean).join(', ');
  if (!acceptsGzip(headers['accept-encoding'])) return { ...reply, headers: { ...reply.headers, Vary: vary } };
  const { gzip } = await import('node:zlib');
  return { ...reply, body: await promisify(gzip)(body, { level: 4 }), headers: { ...reply.headers, Vary: vary, 'Content-Encoding': 'gzip' } };
}

/** As `compressed`, with an ETag; who has the body already gets none. */
export async function tagged(request: Pick<ApiRequest, 'headers'>, reply: Reply & { readonly body: string | Uint8Array }, hash = hashOf(reply.body)): Promise<Reply> {
  const tagged = { ...reply, headers: { ...reply.headers, ETag: `"${hash}"` } };
  return hasTag(request, hash) ? { ...tagged, status: 304, body: '' } : compressed(request, tagged);
}

export function hashOf(body: string | Uint8Array): string {
  return createHash('sha512').update(body).digest('hex').toUpperCase();
}

export function hasTag({ headers }: Pick<ApiRequest, 'headers'>, hash: string): boolean {
  return headers['if-none-match']?.split(',').some((tag) => tag.trim().replace(/^W\//, '') === `"${hash}"`) ?? false;
}

function acceptsGzip(header: string | string[] | undefined): boolean {
  return String(header ?? '').split(',').some((part) => /^\s*gzip\s*(;\s*q=(?!0(\.0*)?\s*$)|$)/i.test(part));
}
