/** What a probe needs of an answer. */
export interface HttpResponse {
  readonly status: number;
  readonly location: string | undefined;
  /** At most `maxBodyBytes` of it, each byte a character. */
  readonly body: string;
}

export const maxBodyBytes = 10 * 1024;
/** Nobody needs so many headers to say how a program is. */
const maxHeadBytes = 64 * 1024;
const maxInformational = 5;

interface Head {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
}

/**
 * Reads one answer of HTTP/1.x from pieces as they arrive. Strict in what decides where the answer ends, and lenient with
 * line ends, as programs of a few lines get them wrong. Throws when what arrives is no such answer.
 */
export class HttpResponseReader {
  #received = '';
  #head: Head | undefined;
  #informational = 0;

  /** Takes what arrived. Returns the answer once it is complete, or as much of it as anybody wants. */
  take(chunk: Buffer): HttpResponse | undefined {
    this.#received += chunk.toString('latin1');
    while (!this.#head) {
      const head = this.#takeHead();
      if (!head) return undefined;
      if (head.status >= 200) this.#head = head;
      else if (head.status === 101) throw new Error('it switched protocols without being asked to');
      else if (++this.#informational > maxInformational) throw new Error('too many informational responses');
    }
    const { body, complete } = bodyOf(this.#head, this.#received);
    return complete || body.length >= maxBodyBytes ? responseOf(this.#head, body) : undefined;
  }

  /** The other side has closed the connection. */
  end(): HttpResponse {
    if (!this.#head) throw new Error(this.#received === '' ? 'EOF' : 'unexpected EOF');
    const { body, untilClose } = bodyOf(this.#head, this.#received);
    if (!untilClose) throw new Error('unexpected EOF');
    return responseOf(this.#head, body);
  }

  #takeHead(): Head | undefined {
    const end = /\r?\n\r?\n/.exec(this.#received);
    if ((end?.index ?? this.#received.length) > maxHeadBytes) throw new Error(`its headers are longer than ${String(maxHeadBytes)} bytes`);
    if (!end) {
      // Something else than HTTP need not be waited for.
      if (this.#received.length >= 5 && !this.#received.startsWith('HTTP/')) throw malformed(this.#received);
      return undefined;
    }
    const head = parseHead(this.#received.slice(0, end.index));
    this.#received = this.#received.slice(end.index + end[0].length);
    return head;
  }
}

/** The headers that say where an answer ends, or leads. */
const wanted: ReadonlySet<string> = new Set(['content-length', 'transfer-encoding', 'location']);

function parseHead(text: string): Head {
  // A line that begins with blanks goes on with the one before.
  const [statusLine = '', ...lines] = (/\n[ \t]/.test(text) ? text.replace(/\r?\n[ \t]+/g, ' ') : text).split('\n');
  const status = Number(/^HTTP\/1\.[01] ([1-9]\d\d)(?:[ \r]|$)/.exec(statusLine)?.[1]);
  if (Number.isNaN(status)) throw malformed(statusLine);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon);
    if (colon < 0 || !/^[!#$%&'*+\-.^_`|~\w]+$/.test(name)) throw new Error(`malformed header line ${JSON.stringify(line.slice(0, 50))}`);
    const key = name.toLowerCase();
    if (!wanted.has(key)) continue;
    const value = line.slice(colon + 1).trim();
    const before = headers.get(key);
    if (key === 'content-length' && before !== undefined && before !== value) throw new Error('it names two different lengths');
    headers.set(key, value);
  }
  return { status, headers };
}

/** `untilClose`: nothing but the end of the connection says where it ends. */
function bodyOf({ status, headers }: Head, received: string): { readonly body: string; readonly complete: boolean; readonly untilClose: boolean } {
  if (status === 204 || status === 304) return { body: '', complete: true, untilClose: false };
  const encoding = headers.get('transfer-encoding')?.toLowerCase();
  if (encoding !== undefined && encoding !== 'chunked') throw new Error(`unsupported transfer encoding ${JSON.stringify(encoding)}`);
  if (encoding === 'chunked') return { ...unchunked(received), untilClose: false };
  const length = headers.get('content-length');
  if (length === undefined) return { body: received, complete: false, untilClose: true };
  if (!/^\d+$/.test(length)) throw new Error(`bad Content-Length ${JSON.stringify(length)}`);
  return { body: received.slice(0, Number(length)), complete: received.length >= Number(length), untilClose: false };
}

function unchunked(received: string): { readonly body: string; readonly complete: boolean } {
  let body = '';
  for (let at = 0; body.length < maxBodyBytes;) {
    const lineEnd = received.indexOf('\n', at);
    if (lineEnd < 0) {
      if (received.length - at > maxHeadBytes) throw new Error('a chunk has no size');
      return { body, complete: false };
    }
    const size = /^([\da-f]{1,8})[ \t]*(?:;.*)?\r?$/i.exec(received.slice(at, lineEnd))?.[1];
    if (size === undefined) throw new Error('malformed chunk');
    // What follows the last one, trailers, tells a probe nothing.
    if (Number.parseInt(size, 16) === 0) return { body, complete: true };
    const start = lineEnd + 1;
    const end = start + Number.parseInt(size, 16);
    body += received.slice(start, end);
    if (received.length < end + 2) return { body, complete: false };
    const separator = /^\r?\n/.exec(received.slice(end, end + 2))?.[0];
    if (separator === undefined) throw new Error('malformed chunk');
    at = end + separator.length;
  }
  return { body, complete: false };
}

function responseOf({ status, headers }: Head, body: string): HttpResponse {
  return { status, location: headers.get('location'), body: body.slice(0, maxBodyBytes) };
}

function malformed(text: string): Error {
  return new Error(`malformed HTTP response ${JSON.stringify(text.slice(0, 50))}`);
}
