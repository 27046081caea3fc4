import { readFile } from 'node:fs/promises';

/** Mount points in and at `dir`, the innermost first. */
export async function mountsBelow(dir: string): Promise<string[]> {
  const table = await readFile('/proc/self/mountinfo', 'utf8');
  const points = table.split('\n').map((line) => unescapeMount(line.split(' ')[4] ?? ''));
  return points.filter((point) => point === dir || point.startsWith(`${dir}/`)).reverse();
}

export async function isMountPoint(dir: string): Promise<boolean> {
  return (await mountsBelow(dir)).includes(dir);
}

function unescapeMount(path: string): string {
  return path.replaceAll(/\\([0-7]{3})/g, (_match, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
