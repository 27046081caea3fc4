import type { Note } from './types.ts';
import { integerOf, mapOf, plain, secondsOf, textOf, textsOf, truth } from './values.ts';

/** Compose's `healthcheck` as probes: what is not healthy gets no traffic, and is started again. */
export function probesOf(value: unknown, where: string, notes: Note[]): Readonly<Record<string, unknown>> {
  const check = mapOf(value, where);
  const test = check['test'];
  if (test === undefined || truth(check['disable'], `${where}.disable`)) {
    if (value !== undefined && test === undefined && check['disable'] === undefined) notes.push({ where, what: 'has no test; what the image brings along is not looked at' });
    return {};
  }
  const command = commandOf(test, where);
  if (!command) return {};
  const seconds = (key: string, otherwise: number): number => (check[key] === undefined ? otherwise : secondsOf(check[key], `${where}.${key}`));
  const retries = check['retries'] === undefined ? 3 : Math.max(1, integerOf(check['retries'], `${where}.retries`));
  const exec = { exec: { command } };
  const probe = { ...exec, periodSeconds: seconds('interval', 30), timeoutSeconds: seconds('timeout', 30), failureThreshold: retries };
  const startSeconds = seconds('start_period', 0);
  const startPeriod = seconds('start_interval', 5);
  return {
    // While it starts nothing counts, and it is ready as soon as it says so.
    ...(startSeconds > 0 && { startupProbe: { ...exec, periodSeconds: startPeriod, timeoutSeconds: probe.timeoutSeconds, failureThreshold: Math.ceil(startSeconds / startPeriod) + retries } }),
    readinessProbe: probe, livenessProbe: probe,
  };
}

function commandOf(test: unknown, where: string): string[] | undefined {
  if (typeof test === 'string') return ['/bin/sh', '-c', plain(test)];
  const [kind = '', ...rest] = textsOf(test, `${where}.test`);
  if (kind === 'NONE') return undefined;
  return kind === 'CMD-SHELL' ? ['/bin/sh', '-c', plain(textOf(rest.join(' '), where))] : (kind === 'CMD' ? rest : [kind, ...rest]).map(plain);
}
