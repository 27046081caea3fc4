import { describeSettings, loadConfig, type Settings, type Values } from '#common/config.ts';
import { createLog, type Log, type LogLevel } from '#common/log.ts';
import type { Io } from './types.ts';

const configFile = '/etc/cleat/config.yaml';

/** What a long-running command needs before it runs; undefined when it only had to print. */
export function prepare<S extends Settings>(program: string, settings: S & { readonly logLevel: Settings[string] }, argv: readonly string[], io: Io): { readonly config: Values<S>; readonly log: Log } | undefined {
  const { values, mode } = loadConfig(program, settings, argv, io.env, configFile);
  if (mode === 'print-config') {
    const secret = new Set(['token']);
    for (const [name, setting] of Object.entries(settings)) {
      const value = (values as Readonly<Record<string, unknown>>)[name];
      io.out(`${setting.flag}: ${secret.has(setting.flag) && value !== '' ? '(hidden)' : String(value)}\n`);
    }
    return undefined;
  }
  return { config: values, log: createLog((values as { readonly logLevel: LogLevel }).logLevel) };
}

export function serveHelp(usage: string, summary: string, settings: Settings): string {
  return `${summary}\n\nUsage:\n  cleat ${usage} [flags]\n\nFlags (also lines of ${configFile}, and CLEAT_* in the environment):\n${describeSettings(settings)}\n  --config FILE  configuration file (default ${configFile})\n  --print-config  show the resulting settings and exit\n`;
}
