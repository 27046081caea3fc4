import { readFile, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Mount points in and at `dir`, the innermost first, as the kernel calls them. */
export async function mountsBelow(dir: string): Promise<string[]> {
  const [table, real] = await Promise.all([readFile('/proc/self/mountinfo', 'utf8'), resolved(dir)]);
  const points = table.split('\n').map((line) => unescapeMount(line.split(' ')[4] ?? ''));
  return points.filter((point) => point === real || point.startsWith(`${real}/`)).reverse();
}

export async function isMountPoint(dir: string): Promise<boolean> {
  return (await mountsBelow(dir)).includes(await resolved(dir));
}

/** Without links on the way, such as a state directory's; not touched itself, for its server may not answer. */
async function resolved(dir: string): Promise<string> {
  return join(await realpath(dirname(dir)).catch(() => dirname(dir)), basename(dir));
}

function unescapeMount(path: string): string {
  return path.replaceAll(/\\([0-7]{3})/g, (_match, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
