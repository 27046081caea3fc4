import { existsSync } from 'node:fs';
import { rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { StatusError } from '#common/errors.ts';
import { exec, execOk } from '#common/exec.ts';
import { helpText, parseFlags, refuse, type Flag } from '../flags.ts';
import type { Command, Io } from '../types.ts';

const flags: readonly Flag[] = [
  { name: 'keep-data', type: 'bool', description: 'keep /etc/cleat, the state directory and logs of pods: installing again brings everything back' },
  { name: 'dry-run', type: 'bool', description: 'say what would be done, and do nothing' },
];

/** Where install.sh puts things. */
const units = ['cleat-agent', 'cleat-controlplane'] as const;
const unitDir = '/etc/systemd/system';
const executable = '/usr/local/bin/cleat';
const configDir = '/etc/cleat';
const configFiles = ['agent.yaml', 'controlplane.yaml'].map((name) => join(configDir, name));

/** Of installations and upgrades, and of those that were cut off. */
const leftovers = ['/run/cleat-install.lock', '/run/cleat-install.unfinished', `${executable}.new`, ...['.cleat.new', '.cleat.new.unfinished', '.cleat.back', '.cleat.back.unfinished'].map((name) => join('/usr/local/bin', name))];

export const command: Command = {
  help: () => helpText(
    'uninstall [--keep-data] [flags]',
    "Take Cleat off this host: ends its pods, takes back every change to the host that the ledger has, newest first, and removes what install.sh put here. Run again it finishes what was cut off. Empty the node first (cleat drain NAME --ignore-daemonsets) and forget it afterwards (cleat node remove NAME).",
    flags, ['cleat uninstall', 'cleat uninstall --keep-data'],
  ),
  async run(argv, io) {
    const parsed = parseFlags('uninstall', flags, argv);
    if (parsed.args.length > 0) throw refuse('uninstall', `unexpected arguments: ${parsed.args.join(' ')}`);
    if (existsSync('/var/lib/dpkg/info/cleat.list')) throw new StatusError('Conflict', "Cleat is here as a package: 'apt-get remove cleat' keeps the data, 'apt-get purge cleat' does not");
    const [keep, dryRun] = [parsed.bool('keep-data'), parsed.bool('dry-run')];
    if (!dryRun && process.getuid?.() !== 0) throw new StatusError('Forbidden', 'cleat uninstall needs root: it stops services and containers. Start it with sudo');
    for (const { says, work } of steps(keep, io)) {
      if (dryRun) io.out(`would ${says}\n`);
      else await work();
    }
    if (!dryRun) io.out(`Cleat is removed from this host${keep ? `; ${configDir} and the state directory are kept` : ''}\n`);
    return 0;
  },
};

interface Step { readonly says: string; readonly work: () => Promise<unknown> }

/** In an order in which each can be done again, and the executable goes last. */
function steps(keep: boolean, io: Io): Step[] {
  const remove = (path: string): Step => ({ says: `remove ${path}`, work: () => rm(path, { recursive: true, force: true }) });
  const systemd = existsSync('/run/systemd/system');
  const present = units.filter((unit) => existsSync(join(unitDir, `${unit}.service`)));
  return [
    // It would start what is taken away.
    ...(systemd ? [{ says: 'stop what looks after an upgrade', work: () => exec('systemctl', ['stop', 'cleat-upgrade-guard.timer', 'cleat-upgrade-guard.service']) }] : []),
    ...(systemd ? present.map((unit): Step => ({ says: `stop and disable ${unit}`, work: () => execOk('systemctl', ['disable', '--now', '--quiet', unit], { timeoutMs: 120_000 }) })) : []),
    ...stateDirs(keep, io),
    ...units.map((unit) => remove(join(unitDir, `${unit}.service`))),
    ...(systemd ? [{ says: 'have systemd forget them', work: async () => { await exec('systemctl', ['daemon-reload']); await exec('systemctl', ['reset-failed', 'cleat-agent', 'cleat-controlplane']); } }] : []),
    ...(keep ? [] : [remove(configDir)]),
    remove('/var/cache/cleat'), ...leftovers.map(remove), { says: 'remove /run/cleat when it is empty', work: () => rmdir('/run/cleat').catch(() => undefined) },
    remove(executable),
  ];
}

/** `cleat down` for every state directory that a configuration here names; the usual one when none does. */
function stateDirs(keep: boolean, io: Io): Step[] {
  const configured = configFiles.filter((file) => existsSync(file));
  const purge = keep ? [] : ['--purge'];
  const down = (config: readonly string[]): Step => ({
    says: `end this host's pods and take back what the ledger has${keep ? '' : ', then remove the state'}`,
    work: async () => { await (await import('./down.ts')).command.run([...config, ...purge], { ...io, out: (text) => io.out(text) }); },
  });
  return configured.length === 0 ? [down([])] : configured.map((file) => down([`--config=${file}`]));
}
