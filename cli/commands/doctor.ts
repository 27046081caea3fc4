import { hostSettings } from '#common/host-settings.ts';
import { messageOf } from '#common/errors.ts';
import { checks } from '../doctor/checks/all.ts';
import { gather } from '../doctor/gather.ts';
import type { Finding } from '../doctor/types.ts';
import { helpText, parseFlags, refuse, type Flag } from '../flags.ts';
import type { Command, Io } from '../types.ts';

const flags: readonly Flag[] = [
  { name: 'fix', type: 'bool', description: 'mend what can be mended without harm (load modules, switch time synchronization on), and say what was done' },
  { name: 'output', short: 'o', type: 'string', description: 'json or yaml' },
  { name: 'quiet', short: 'q', type: 'bool', description: 'only what is not well' },
  { name: 'lookup', type: 'string', default: 'registry-1.docker.io', description: 'name to look up, to see whether DNS works; empty for none' },
  { name: 'state-dir', type: 'string', default: hostSettings.stateDir.default, description: 'where the state of Cleat is, or will be' },
];

interface Told extends Omit<Finding, 'repair'> { readonly fixed?: string; readonly notFixed?: string }

export const command: Command = {
  help: () => helpText('doctor [flags]', 'Whether this host can run Cleat well: what stands in the way, what comes of it, and what to do. Root sees more. Ends with 1 when something fails; a warning is no failure.', flags, ['cleat doctor', 'sudo cleat doctor --fix', 'cleat doctor -o json']),
  async run(argv, io) {
    const parsed = parseFlags('doctor', flags, argv);
    const output = parsed.string('output');
    if (parsed.args.length > 0) throw refuse('doctor', `unexpected arguments: ${parsed.args.join(' ')}`);
    if (output !== undefined && output !== 'json' && output !== 'yaml') throw refuse('doctor', "--output must be 'yaml' or 'json'");
    const look = async (): Promise<Finding[]> => {
      const readings = await gather({ stateDir: parsed.string('state-dir') ?? '', searchPath: io.env['PATH'] ?? '', lookup: parsed.string('lookup') ?? '', signal: io.interrupted });
      return checks.flatMap((check) => check(readings));
    };
    let findings = await look();
    const told: Told[] = [];
    if (parsed.bool('fix')) {
      told.push(...await mend(findings, io));
      if (told.length > 0) findings = await look();
    }
    told.push(...findings.map(({ repair: _repair, ...finding }) => finding));
    const shown = parsed.bool('quiet') ? told.filter(({ level, fixed }) => level !== 'ok' || fixed !== undefined) : told;
    if (output === 'json') io.out(`${JSON.stringify(shown, null, 4)}\n`);
    else if (output === 'yaml') io.out((await import('../yaml.ts')).formatYaml(shown));
    else io.out(tell(shown, findings, io.terminal && io.env['NO_COLOR'] === undefined, parsed.bool('quiet')));
    return findings.some(({ level }) => level === 'fail') ? 1 : 0;
  },
};

/** Does the safe repairs, each once. What could not be done is told and stands in nobody's way. */
async function mend(findings: readonly Finding[], io: Io): Promise<Told[]> {
  const { execOk } = await import('#common/exec.ts');
  const done = new Map<string, Told>();
  for (const { check, repair } of findings) {
    if (!repair || done.has(repair.does)) continue;
    const [program, ...args] = repair.command;
    const failed = await execOk(program, args, { signal: io.interrupted, timeoutMs: 30_000 }).then(() => undefined, messageOf);
    const line = repair.command.join(' ');
    done.set(repair.does, failed === undefined
      ? { check, level: 'ok', what: `${repair.does}: ${line}`, fixed: line }
      : { check, level: 'warn', what: `could not be mended: ${failed}`, notFixed: line, ...(process.getuid?.() !== 0 && { fix: 'sudo cleat doctor --fix' }) });
  }
  return [...done.values()];
}

const colours = { ok: 32, warn: 33, fail: 31 } as const;

function tell(told: readonly Told[], findings: readonly Finding[], colour: boolean, quiet: boolean): string {
  const width = Math.max(0, ...told.map(({ check }) => check.length)) + 2;
  const indent = ' '.repeat(6 + width);
  const lines = told.map(({ check, level, what, why, fix, fixed }) => {
    const mark = fixed === undefined ? level.padEnd(6) : 'fixed ';
    return [
      `${colour ? `\u001b[${String(colours[level])}m${mark}\u001b[0m` : mark}${check.padEnd(width)}${what}${why === undefined ? '' : `: ${why}`}`,
      ...(fix === undefined ? [] : [`${indent}fix: ${fix}`]),
    ].join('\n');
  });
  const count = (level: Finding['level']): number => findings.filter((finding) => finding.level === level).length;
  const [fails, warnings] = [count('fail'), count('warn')];
  const summary = fails + warnings === 0 ? 'This host is well.' : `${String(fails)} failed, ${String(warnings)} to look at.${findings.some(({ repair, level }) => repair && level !== 'ok') ? ' Some can be mended: sudo cleat doctor --fix' : ''}`;
  return quiet && fails + warnings === 0 && told.length === 0 ? '' : `${lines.join('\n')}\n\n${summary}\n`;
}
