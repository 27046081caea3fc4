import { describe, expect, it } from 'vitest';
import { parseFlags, verbFirst, type Flag } from './flags.ts';

const flags: readonly Flag[] = [
  { name: 'namespace', short: 'n', type: 'string', description: '' },
  { name: 'all', short: 'A', type: 'bool', description: '' },
  { name: 'tail', type: 'int', default: '-1', description: '' },
  { name: 'filename', short: 'f', type: 'list', description: '' },
  { name: 'since', type: 'duration', description: '' },
  { name: 'dry-run', type: 'string', optional: 'server', default: 'none', description: '' },
];
const parse = (...argv: string[]) => parseFlags('get', flags, argv);

describe('parseFlags', () => {
  it('takes flags anywhere and in every form', () => {
    const parsed = parse('pods', '-n', 'a', 'web', '--tail=3', '-fx,y', '-f=z', '-A', '--', '-n');
    expect(parsed.args).toEqual(['pods', 'web', '-n']);
    expect([parsed.string('namespace'), parsed.int('tail'), parsed.list('filename'), parsed.bool('all')]).toEqual(['a', 3, ['x', 'y', 'z'], true]);
  });
  it('reads single letters that stand together', () => {
    const flags: Flag[] = [{ name: 'stdin', short: 'i', type: 'bool', description: '' }, { name: 'tty', short: 't', type: 'bool', description: '' }, { name: 'container', short: 'c', type: 'string', description: '' }];
    const parsed = parseFlags('exec', flags, ['-itcmain', 'pod']);
    expect([parsed.bool('stdin'), parsed.bool('tty'), parsed.string('container'), parsed.args]).toEqual([true, true, 'main', ['pod']]);
    expect(parseFlags('exec', flags, ['-i=false']).bool('stdin')).toBe(false);
  });
  it('finds the verb behind flags of the cluster', () => {
    expect(verbFirst(['-n', 'web', '--kubeconfig=x', 'get', 'pods'])).toEqual(['get', '-n', 'web', '--kubeconfig=x', 'pods']);
    expect(verbFirst(['--help'])).toEqual(['--help']);
    expect(verbFirst(['get', '-n', 'web'])).toEqual(['get', '-n', 'web']);
  });
  it('knows defaults, bare values and what was given', () => {
    expect([parse().int('tail'), parse('--dry-run').string('dry-run'), parse().string('dry-run'), parse().has('tail')]).toEqual([-1, 'server', 'none', false]);
  });
  it('reads durations, bare numbers as seconds', () => {
    expect([parse().durationMs('since'), parse('--since=1m30s').durationMs('since'), parse('--since', '7').durationMs('since'), parse('--since=0').durationMs('since')]).toEqual([undefined, 90_000, 7000, 0]);
  });
  it.each([[['--since=soon'], 'invalid argument "soon" for "--since" flag: expected a duration such as 500ms, 40s or 1m30s'], [['--nope'], 'unknown flag: --nope'], [['-x'], "unknown shorthand flag: 'x' in -x"], [['--tail', 'many'], 'expected a whole number'], [['-n'], 'flag needs an argument: -n'], [['--all=maybe'], 'expected true or false']])('refuses %j', (argv, message) => {
    expect(() => parse(...argv)).toThrow(message);
  });
});
