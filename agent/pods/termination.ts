import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Container as ContainerSpec } from '#api/gen/types.ts';
import type { Container, LogEntry } from '#agent/runtimes/types.ts';
import { logText } from './logs/reader.ts';
import type { PodPaths } from './paths.ts';

const maxBytes = 4096;
const maxLogBytes = 2048;
const maxLogLines = 80;
/** Of a line in a log, what is not the program's. */
const maxPrefixBytes = 50;

export const defaultTerminationPath = '/dev/termination-log';

/** Makes the file that a container may leave its last words in; mounted at terminationMessagePath. */
export async function createTerminationFile(paths: PodPaths, container: string, attempt: number): Promise<string> {
  const path = paths.terminationLog(container, attempt);
  await mkdir(dirname(path), { recursive: true });
  const file = await open(path, 'w');
  await file.chmod(0o666);
  await file.close();
  return path;
}

/** What an ended container left, the last 4 KiB of it; empty when nothing. `kept` gives the end of its log where the runtime keeps it. */
export async function readTermination(paths: PodPaths, spec: ContainerSpec | undefined, ended: Container, kept?: (tailLines: number) => AsyncIterable<LogEntry> | undefined): Promise<string> {
  const text = await readEnd(paths.terminationLog(ended.name, ended.attempt), maxBytes);
  if (text !== '' || spec?.terminationMessagePolicy !== 'FallbackToLogsOnError' || ended.exitCode === 0) return text;
  const log = kept?.(maxLogLines);
  return log ? lastOf(await keptEnd(log)) : lastLines(await readEnd(ended.logPath, maxLogBytes + maxLogLines * maxPrefixBytes));
}

/** The end of a log that the runtime keeps; empty when it cannot be read. */
async function keptEnd(log: AsyncIterable<LogEntry>): Promise<string> {
  let text = '';
  try {
    for await (const chunk of logText(log, { timestamps: false })) text = (text + Buffer.from(chunk).toString('utf8')).slice(-2 * maxLogBytes);
  } catch {
    // What could be read is better than nothing, and the pod's end does not wait for more.
  }
  return text;
}

/** The end of a log in CRI format, as the program wrote it: a long line is there in pieces. */
function lastLines(log: string): string {
  let text = '';
  for (const entry of log.split('\n')) {
    const [, tag, words] = /^\S+ (?:stdout|stderr) ([FP])\S* (.*)$/.exec(entry) ?? [];
    if (words !== undefined) text += tag === 'P' ? words : `${words}\n`;
  }
  return lastOf(text);
}

function lastOf(text: string): string {
  return text.split(/(?<=\n)/).slice(-maxLogLines).join('').slice(-maxLogBytes);
}

async function readEnd(path: string, bytes: number): Promise<string> {
  let file;
  try {
    file = await open(path, 'r');
  } catch {
    return '';
  }
  try {
    const position = Math.max(0, (await file.stat()).size - bytes);
    const { bytesRead, buffer } = await file.read(Buffer.alloc(bytes), 0, bytes, position);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}
