import { readdirSync, readFileSync } from 'node:fs';

/**
 * What a file of /proc or /sys says, without the white space or zero byte at its end; undefined when it cannot be read or is
 * empty. Read at once: the kernel has it in memory, and to have a thread read it costs ten times as much.
 */
export function kernelText(path: string): string | undefined {
  try {
    // oxlint-disable-next-line no-control-regex
    return readFileSync(path, 'utf8').replace(/[\s\0]+$/, '') || undefined;
  } catch {
    return undefined;
  }
}

/** What a folder of /proc or /sys has, read at once like its files; none when it is not there. */
export function kernelEntries(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** The kernel's name for the time since it was started; empty where it does not tell. */
export function kernelBootId(): string {
  return kernelText('/proc/sys/kernel/random/boot_id') ?? '';
}
