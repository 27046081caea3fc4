import { createReadStream, realpathSync, readdirSync, statSync, type Stats } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { pipeline } from 'node:stream';
import { plainAnswer } from './plain-answer.ts';

const types: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8', '.gif': 'image/gif', '.htm': 'text/html; charset=utf-8', '.html': 'text/html; charset=utf-8', '.jpeg': 'image/jpeg', '.jpg': 'image/jpeg',
  '.js': 'text/javascript; charset=utf-8', '.json': 'application/json', '.mjs': 'text/javascript; charset=utf-8', '.pdf': 'application/pdf', '.png': 'image/png', '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8', '.wasm': 'application/wasm', '.webp': 'image/webp', '.xml': 'text/xml; charset=utf-8', '.yaml': 'text/plain; charset=utf-8', '.yml': 'text/plain; charset=utf-8',
};

/** Answers with the files of a folder; folders are listed, or shown by their `index.html`. */
export class StaticFiles {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** `path`: decoded, below the prefix, beginning with a slash. */
  answer(path: string, request: IncomingMessage, response: ServerResponse): void {
    const wanted = join(this.#folder, normalize(path));
    const found = path.includes('\0') ? undefined : inside(this.#folder, wanted);
    if (!found) plainAnswer(response, 404, '404 page not found');
    else if (found.isDirectory() && !path.endsWith('/')) redirect(response, `${path.slice(path.lastIndexOf('/') + 1)}/`);
    else if (path.endsWith('/index.html')) redirect(response, './');
    else if (!found.isDirectory()) send(wanted, found, request, response);
    else {
      const index = inside(this.#folder, join(wanted, 'index.html'));
      if (index?.isFile() === true) send(join(wanted, 'index.html'), index, request, response);
      else list(wanted, response);
    }
  }
}

/** What is there, as long as it is in the folder; a link to elsewhere is followed, as its owner put it there. */
function inside(folder: string, path: string): Stats | undefined {
  if (path !== folder && !path.startsWith(folder.endsWith('/') ? folder : `${folder}/`)) return undefined;
  try {
    return statSync(realpathSync(path));
  } catch {
    return undefined;
  }
}

function redirect(response: ServerResponse, location: string): void {
  response.writeHead(301, { location, 'content-length': '0' }).end();
}

function send(path: string, { size, mtime }: Stats, request: IncomingMessage, response: ServerResponse): void {
  const since = Date.parse(request.headers['if-modified-since'] ?? '');
  const headers = { 'last-modified': mtime.toUTCString() };
  if (Math.floor(mtime.getTime() / 1000) * 1000 <= since) {
    response.writeHead(304, headers).end();
    return;
  }
  response.writeHead(200, { ...headers, 'content-type': types[extname(path).toLowerCase()] ?? 'application/octet-stream', 'content-length': String(size) });
  if (request.method === 'HEAD') response.end();
  else pipeline(createReadStream(path, { end: Math.max(0, size - 1) }), response, () => undefined);
}

function list(folder: string, response: ServerResponse): void {
  const names = readdirSync(folder, { withFileTypes: true }).map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name)).sort();
  const text = (name: string): string => name.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&#34;').replaceAll("'", '&#39;');
  const rows = names.map((name) => `<a href="${/^[^/]*:/.test(name) ? './' : ''}${encodeURI(name).replaceAll('?', '%3F').replaceAll('#', '%23')}">${text(name)}</a>\n`);
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(`<!doctype html>\n<meta name="viewport" content="width=device-width">\n<pre>\n${rows.join('')}</pre>\n`);
}
