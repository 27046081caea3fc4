import { createRequire } from 'node:module';
import type { mem, osInfo, uuid } from 'systeminformation';

const require = createRequire(import.meta.url);

// The package as a whole reads everything that a computer can tell: a megabyte of sources that would stay in memory.

export function memoryInformation(): { mem: typeof mem } {
  return require('systeminformation/lib/memory') as { mem: typeof mem };
}

export function osInformation(): { osInfo: typeof osInfo; uuid: typeof uuid } {
  return require('systeminformation/lib/osinfo') as { osInfo: typeof osInfo; uuid: typeof uuid };
}
