import { describe, expect, it } from 'vitest';
import { HttpResponseReader, type HttpResponse } from './http-response.ts';

/** In pieces of so many bytes, and then closed. */
function read(text: string, pieceBytes = Infinity): HttpResponse {
  const reader = new HttpResponseReader();
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const response = reader.take(bytes.subarray(at, at + pieceBytes));
    if (response) return response;
  }
  return reader.end();
}

describe('an answer of HTTP', () => {
  it.each([
    ['with a length', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhellorest', { status: 200, body: 'hello' }],
    ['without a body', 'HTTP/1.1 204 No Content\r\n\r\n', { status: 204, body: '' }],
    ['that ends with the connection', 'HTTP/1.0 500 \r\n\r\nsorry', { status: 500, body: 'sorry' }],
    ['without a reason', 'HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n', { status: 404, body: '' }],
    ['of a shell script', 'HTTP/1.1 200 OK\nX: y\n\nhello', { status: 200, body: 'hello' }],
    ['in chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n', { status: 200, body: 'hello world' }],
    ['after another that says to wait', 'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', { status: 200, body: '' }],
    ['that leads elsewhere', 'HTTP/1.1 302 Found\r\nlocation:\t/there \r\nContent-Length: 0\r\n\r\n', { status: 302, location: '/there', body: '' }],
    ['with a folded line', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n', { status: 200, body: '' }],
    ['that goes on for ever', `HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n${'x'.repeat(20_000)}`, { status: 200, body: 'x'.repeat(10_240) }],
    ['that goes on for ever in chunks', `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${`1000\r\n${'x'.repeat(4096)}\r\n`.repeat(4)}`, { status: 200, body: 'x'.repeat(10_240) }],
  ])('%s', (_what, text, expected) => {
    for (const pieceBytes of [Infinity, 1000, 1]) expect(read(text, pieceBytes)).toEqual({ location: undefined, ...expected });
  });

  it.each([
    ['nothing', '', 'EOF'],
    ['half a head', 'HTTP/1.1 200 OK\r\nCont', 'unexpected EOF'],
    ['half a body', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell', 'unexpected EOF'],
    ['half a chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel', 'unexpected EOF'],
    ['a chunk that is none', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n', 'malformed chunk'],
    ['a chunk longer than it says', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n', 'malformed chunk'],
    ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n', 'malformed HTTP response "SSH-2.0-OpenSSH_9.2\\r\\n"'],
    ['another version', 'HTTP/2 200 OK\r\n\r\n', 'malformed HTTP response "HTTP/2 200 OK"'],
    ['no status', 'HTTP/1.1 OK\r\n\r\n', 'malformed HTTP response "HTTP/1.1 OK"'],
    ['a line that is no header', 'HTTP/1.1 200 OK\r\nnonsense\r\n\r\n', 'malformed header line "nonsense"'],
    ['a length that is none', 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n', 'bad Content-Length "-1"'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx', 'it names two different lengths'],
    ['compressed chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n', 'unsupported transfer encoding "gzip, chunked"'],
    ['another protocol from here on', 'HTTP/1.1 101 Switching Protocols\r\n\r\n', 'it switched protocols without being asked to'],
    ['hints without end', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(6), 'too many informational responses'],
    ['headers without end', `HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(20_000)}`, 'its headers are longer than 65536 bytes'],
    ['a chunk size without end', `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${'0'.repeat(100_000)}`, 'a chunk has no size'],
  ])('refuses %s', (_what, text, message) => {
    expect(() => read(text)).toThrow(message);
  });
});
