import { pino, type Logger } from 'pino';

/**
 * Loggers are passed in, one child per component. Messages are constant and lower-case; data goes into
 * fields (`component node namespace name uid revision err`).
 * error = a person must act; warn = retrying; info = state changed; debug = why.
 */
export type Log = Logger;
export type LogLevel = 'error' | 'warn' | 'info' | 'debug' | 'silent';

/** A logger that writes JSON lines to standard error, so that standard output stays for answers. */
export function createLog(level: LogLevel): Log {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ dest: 2, sync: true }));
}

/** For tests and for code that has nobody to tell. */
export const silentLog: Log = pino({ level: 'silent' });
