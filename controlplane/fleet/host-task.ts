import type { HostAnswer, HostTask } from '#common/host-task.ts';
import { StatusError, statusCodes, type StatusCode } from '#common/errors.ts';
import type { NodeGateway } from '../apiserver/types.ts';

/** A source of bytes that a node may turn out to have already. */
export interface SentFile {
  /** Called once, when the node wants them. */
  readonly read: () => AsyncIterable<Uint8Array>;
  /** Called with how many bytes have gone so far. */
  readonly sent?: (bytes: number) => void;
}

/** Has a node's agent work on its own host, through its own connection; resolves with what it says at the end, rejects with its reason. */
export async function runHostTask(nodes: Pick<NodeGateway, 'open'>, nodeName: string, task: HostTask, file: SentFile | undefined, signal: AbortSignal): Promise<string> {
  const tunnel = await nodes.open(nodeName, { kind: 'host', ...task }, [0], signal);
  const stream = tunnel.channel(0);
  try {
    const lines = linesOf(stream);
    if (file) {
      const first = parse(await lines.next(), nodeName);
      if ('have' in first && !first.have) {
        let bytes = 0;
        for await (const chunk of file.read()) {
          await stream.write(chunk);
          file.sent?.(bytes += chunk.length);
        }
      }
    }
    await stream.end();
    const last = parse(await lines.next(), nodeName);
    if (!('done' in last)) throw broken(nodeName);
    return last.message;
  } finally {
    tunnel.close();
  }
}

async function* linesOf(source: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, undefined> {
  let text = '';
  for await (const chunk of source) {
    text += Buffer.from(chunk).toString('utf8');
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
    }
    if (text.length > 64 << 10) return;
  }
}

function parse(line: IteratorResult<string, void>, nodeName: string): HostAnswer {
  if (line.done === true) throw broken(nodeName);
  const value = JSON.parse(line.value) as HostAnswer | { readonly error: { readonly code: string; readonly message: string } };
  if (!('error' in value)) return value;
  const code = Object.hasOwn(statusCodes, value.error.code) ? value.error.code as StatusCode : 'InternalError';
  throw new StatusError(code, `node ${nodeName}: ${value.error.message}`);
}

function broken(nodeName: string): StatusError {
  return new StatusError('ServiceUnavailable', `node ${nodeName} broke off`);
}
