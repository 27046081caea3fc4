import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bool, describeSettings, durationMs, formatSetting, integer, list, loadConfig, parseDurationMs, text } from './config.ts';

const settings = {
  stateDir: text('state-dir', { default: '/var/lib/cleat', description: 'where state is kept' }),
  port: integer('port', { default: 6443, min: 1, max: 65535, description: 'API port' }),
  sans: list('tls-san', { default: [], description: 'more names' }),
  verbose: bool('verbose', { default: false, description: 'say more' }),
  grace: durationMs('grace', { default: 40_000, description: 'how long' }),
};
const none = '/nonexistent/config.yaml';
const load = (argv: string[], env = {}, file = none) => loadConfig('cleat', settings, argv, env, file);

function fileWith(content: string): string {
  const path = join(mkdtempSync(join(tmpdir(), 'cleat-config-')), 'config.yaml');
  writeFileSync(path, content);
  return path;
}

describe('loadConfig', () => {
  it('prefers flags over environment over file over default', () => {
    const file = fileWith('# comment\nport: 1\nstate-dir: "/file"\ngrace: 1m30s\n');
    const { values } = load(['--port=3'], { CLEAT_PORT: '2', CLEAT_STATE_DIR: '/env' }, file);
    expect(values).toEqual({ port: 3, stateDir: '/env', grace: 90_000, verbose: false, sans: [] });
  });
  it('takes bare booleans, repeated lists and separate values', () => {
    expect(load(['--verbose', '--tls-san', 'a,b', '--tls-san=c']).values).toMatchObject({ verbose: true, sans: ['a', 'b', 'c'] });
  });
  it.each([
    [['--prot', '1'], 'unknown flag --prot; did you mean --port?'],
    [['--wrong'], "unknown flag --wrong. See 'cleat --help'."],
    [['--port', '0'], '--port: invalid value "0": expected a whole number from 1 to 65535'],
    [['--port'], 'flag --port needs a value'],
    [['up'], 'unexpected argument "up"'],
    [['--grace=5'], 'expected a duration'],
    [['--config=/nonexistent'], 'cannot read the configuration file /nonexistent: it is not there; check --config'],
    [['--config=/'], 'cannot read the configuration file /: it is a directory; check --config'],
  ])('refuses %j', (argv, message) => {
    expect(() => load(argv)).toThrow(message);
  });
  it('refuses unknown names in the environment and the file', () => {
    expect(() => load([], { CLEAT_PROT: '1' })).toThrow('unknown environment variable CLEAT_PROT; did you mean CLEAT_PORT?');
    expect(() => load([], {}, fileWith('prot: 1\n'))).toThrow(/unknown setting "prot" in .*line 1; did you mean port\?/);
    expect(() => load([], { CLEAT_WRONG: '1' })).toThrow('unknown environment variable CLEAT_WRONG; unset it');
    expect(() => load([], {}, fileWith('wrong: 1\n'))).toThrow(/unknown setting "wrong" in .*line 1; remove the line/);
    expect(() => load([], {}, fileWith('port\n'))).toThrow('expected "name: value"');
  });
  it('knows --help and --print-config', () => {
    expect(load(['--help']).mode).toBe('help');
    expect(load(['--print-config']).mode).toBe('print-config');
    expect(describeSettings(settings)).toContain('--port N');
    expect(describeSettings(settings)).toContain('how long (default 40s)');
  });
  it('prints values so that a file may hold them', () => {
    const { values } = load(['--grace=1500ms', '--tls-san=a,b', '--verbose']);
    const file = fileWith(Object.entries(settings).map(([name, setting]) => `${setting.flag}: ${formatSetting<unknown>(setting, values[name as keyof typeof values])}\n`).join(''));
    expect(load([], {}, file).values).toEqual(values);
  });
});

describe('parseDurationMs', () => {
  it.each([['500ms', 500], ['1h2m3s', 3_723_000], ['1.5s', 1500]])('%s', (value, ms) => {
    expect(parseDurationMs(value)).toBe(ms);
  });
});
