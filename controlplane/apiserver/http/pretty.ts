import { booleanParameter } from '../list-options.ts';
import { jsonType, type Reply } from './reply.ts';
import type { ApiRequest } from './request.ts';

/** Larger answers are for programs, whoever asks. */
const maxBytes = 1 << 20;
/** Programs behind which people sit. */
const readByPeople = /^(?:curl|wget|mozilla\/5\.0)/i;

/** True when somebody reads the answer: it was asked for, or the client is one that shows what it gets. */
export function wantsPretty({ query, headers }: Pick<ApiRequest, 'query' | 'headers'>): boolean {
  return query.has('pretty') ? booleanParameter(query, 'pretty') : readByPeople.test(headers['user-agent'] ?? '');
}

/** JSON over many lines. Streams, and what comes in pieces because it is large, stay as they are. */
export function pretty(reply: Reply): Reply {
  const { body, contentType, headers } = reply;
  if (headers?.['Content-Encoding'] !== undefined || headers?.['ETag'] !== undefined) return reply;
  if (!contentType.startsWith(jsonType) || !(typeof body === 'string' || body instanceof Uint8Array) || body.length > maxBytes) return reply;
  const text = typeof body === 'string' ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8');
  return text === '' ? reply : { ...reply, body: `${JSON.stringify(JSON.parse(text), null, 2)}\n` };
}
