import { rename, rm, stat } from 'node:fs/promises';
import type { Container, LogRotation, RuntimeDriver } from '#agent/runtimes/types.ts';

/** As kubelet's. */
export const defaultRotation: LogRotation = { maxBytes: 10 << 20, maxFiles: 5 };

/** Moves a log that has grown too large aside (`0.log` → `0.log.1` → …) and has the runtime begin a new one. True when it did. */
export async function rotateLog(driver: RuntimeDriver, container: Container, config: LogRotation, signal: AbortSignal): Promise<boolean> {
  if (driver.readLog) return false;
  const path = container.logPath;
  const size = await stat(path).then((s) => s.size, () => undefined);
  if (size === undefined) {
    // An agent that ended between renaming and telling: the runtime still writes to the file that was renamed.
    await driver.reopenLog(container.id, signal);
    return true;
  }
  if (size < config.maxBytes) return false;
  const numbered = (n: number): string => (n === 0 ? path : `${path}.${String(n)}`);
  await rm(numbered(config.maxFiles - 1), { force: true });
  for (let n = config.maxFiles - 2; n >= 0; n--) await rename(numbered(n), numbered(n + 1)).catch(() => undefined);
  await driver.reopenLog(container.id, signal);
  return true;
}
