import { pino, type Logger } from 'pino';

/**
 * Loggers are passed in, one child per component. Messages are constant and lower-case; data goes into
 * fields (`component node namespace name uid revision err`).
 * error = a person must act; warn = retrying; info = state changed; debug = why.
 */
export type Log = Logger;
export type LogLevel = 'error' | 'warn' | 'info' | 'debug' | 'silent';

/** A logger that writes to standard error, so that standard output stays for answers: JSON lines, or text where a person reads. */
export function createLog(level: LogLevel, terminal = process.stderr.isTTY): Log {
  const destination = terminal ? { write: (line: string) => process.stderr.write(terminalLine(line)) } : pino.destination({ dest: 2, sync: true });
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination);
}

/** `05:00:58 warn: joining has to wait: cannot reach ... (component: session)`. */
export function terminalLine(json: string): string {
  const { level, time, msg, err, ...fields } = JSON.parse(json) as Readonly<Record<string, unknown>>;
  const shown = Object.entries(fields).map(([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const severity = pino.levels.labels[Number(level)] ?? String(level);
  return `${String(time).slice(11, 19)} ${severity}: ${String(msg)}${err === undefined ? '' : `: ${String(err)}`}${shown.length > 0 ? ` (${shown.join(', ')})` : ''}\n`;
}

/** For tests and for code that has nobody to tell. */
export const silentLog: Log = pino({ level: 'silent' });
