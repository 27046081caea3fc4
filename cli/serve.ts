import { systemClock } from '#common/clock.ts';
import { describeSettings, formatSetting, loadConfig, type Settings, type Values } from '#common/config.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { execOk } from '#common/exec.ts';
import { prepareFolder } from '#common/folder.ts';
import { checkRanges, type hostSettings } from '#common/host-settings.ts';
import { collectWhenIdle, processMemory } from '#common/idle-memory.ts';
import { isAbort } from '#common/lifecycle.ts';
import { createLog, type Log, type LogLevel } from '#common/log.ts';
import { optimizeWhenBusy, thisEngine } from '#common/optimize-when-busy.ts';
import { errorText } from './error-text.ts';
import { Supervision } from './supervision.ts';
import type { Io } from './types.ts';

export const configFile = '/etc/cleat/config.yaml';

/** From the signal to the end: less than service managers wait. */
const endMs = 15_000;

interface Program<S extends Settings> {
  readonly name: string;
  readonly settings: S & typeof hostSettings;
  readonly needsRoot: boolean;
  /** Whether it may have much to compute, and so gets V8's optimizing compilers when it does; see ./cleat. */
  readonly optimizes: boolean;
  /** Throws for settings that do not go together. */
  readonly check?: (config: Values<S>) => void;
}
interface Prepared<S extends Settings> { readonly config: Values<S>; readonly configFile: string; readonly log: Log; readonly supervision: Supervision }

/** What a long-running command needs before it runs, with a state directory that can be used; undefined when it only had to print. */
export async function prepare<S extends Settings>({ name: program, settings, needsRoot, optimizes, check }: Program<S>, argv: readonly string[], io: Io): Promise<Prepared<S> | undefined> {
  const { values, mode, configFile: path } = loadConfig(program, settings, argv, io.env, configFile);
  const host: Values<typeof hostSettings> = values;
  checkRanges(host);
  if (mode === 'print-config') {
    const secret = new Set(['token']);
    for (const [key, setting] of Object.entries(settings)) {
      const value = (values as Readonly<Record<string, unknown>>)[key];
      io.out(`${setting.flag}: ${secret.has(setting.flag) && value !== '' ? '(hidden)' : formatSetting(setting, value)}\n`);
    }
    return undefined;
  }
  check?.(values);
  if (needsRoot && process.getuid?.() !== 0) throw new StatusError('Forbidden', `${program} needs root: it runs containers and programs the network. Start it with sudo`);
  await prepareFolder(host.stateDir, 'state-dir', 0o711);
  // Whoever reads the log later should see that somebody ended it, and how.
  io.interrupted.addEventListener('abort', () => {
    io.err(`${program} ends: it got ${messageOf(io.interrupted.reason)}\n`);
    // Whoever stops it is not to wait for ever for a part that hangs; a kill does no harm, it is what every start is made for.
    setTimeout(() => {
      io.err(`${program} did not end within ${String(endMs / 1000)} s; it is ended as it is\n`);
      process.exit(1);
    }, endMs).unref();
  }, { once: true });
  collectWhenIdle(systemClock, processMemory(), io.interrupted);
  if (optimizes) optimizeWhenBusy(systemClock, thisEngine(), io.interrupted);
  const log = createLog(host.logLevel as LogLevel);
  const supervision = new Supervision({ clock: systemClock, log, notify: async (words) => { await execOk('systemd-notify', words, { timeoutMs: 10_000 }); } }, io.env);
  return { config: values, configFile: path, log, supervision };
}

/** True when all is ready; false when it ended or was interrupted before, which is no failure. */
export async function isReady(ready: readonly Promise<unknown>[], ended: Promise<unknown>, interrupted: AbortSignal): Promise<boolean> {
  try {
    return await Promise.race([Promise.all(ready).then(() => true), ended.then(() => false)]) && !interrupted.aborted;
  } catch (error) {
    if (interrupted.aborted) return false;
    throw error;
  }
}

/** The exit code: an end that was asked for is none to complain of, however far the start had come; what else failed on the way is told. */
export async function untilEnded(ended: Promise<unknown>, { interrupted, err }: Pick<Io, 'interrupted' | 'err'>): Promise<number> {
  try {
    await ended;
  } catch (error) {
    if (!interrupted.aborted) throw error;
    if (!isAbort(error, interrupted)) err(`${errorText(error)}\n`);
  }
  return 0;
}

export function serveHelp(usage: string, summary: string, settings: Settings): string {
  return `${summary}\n\nUsage:\n  cleat ${usage} [flags]\n\nFlags (also lines of ${configFile}, and CLEAT_* in the environment):\n${describeSettings(settings)}\n  --config FILE  configuration file (default ${configFile})\n  --print-config  show the resulting settings and exit\n`;
}
