import type { ServerResponse } from 'node:http';

/** An answer for people, which no browser takes for anything else. */
export function plainAnswer(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' }).end(`${text}\n`);
}
