import { StatusError } from '#common/errors.ts';
import { execOk } from '#common/exec.ts';

/** The kernel takes a page of options, with the zero at its end. */
const maxOptionBytes = 4095;

/** Mounts what `ctr` prints for a shell: `mount -t TYPE SOURCE TARGET -o OPTIONS`, a line for each. `more` options are added to each. */
export async function mountAsTold(lines: string, signal: AbortSignal, more: readonly string[] = []): Promise<void> {
  for (const words of lines.trim().split('\n').map((line) => line.split(' '))) {
    const [command, flag, type = '', source = '', target = '', o, options = ''] = words;
    if (command !== 'mount' || flag !== '-t' || target === '' || (o !== undefined && o !== '-o')) throw new StatusError('InternalError', `containerd asks for something that is no mount: ${lines.slice(0, 500)}`);
    const { dir, text } = shortened([...options === '' ? [] : [options], ...more].join(','));
    await execOk('mount', ['-t', type, source, target, ...(text === '' ? [] : ['-o', text])], { signal, ...(dir !== undefined && { cwd: dir }) });
  }
}

/** Options of an overlay of so many layers that the kernel would not take them: its folders are then named from one that all are in. */
export function shortened(options: string): { readonly dir?: string; readonly text: string } {
  const lower = options.split(',').find((option) => option.startsWith('lowerdir='))?.slice('lowerdir='.length) ?? '';
  const folders = lower.split(':');
  if (options.length <= maxOptionBytes || folders.length < 2) return { text: options };
  const parts = folders.map((folder) => folder.split('/'));
  const same = parts[0]?.findIndex((part, i) => parts.some((other) => other[i] !== part)) ?? 0;
  const dir = parts[0]?.slice(0, same).join('/') ?? '';
  if (dir === '') return { text: options };
  return { dir, text: options.replace(lower, folders.map((folder) => folder.slice(dir.length + 1)).join(':')) };
}
