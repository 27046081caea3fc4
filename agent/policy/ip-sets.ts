import { StatusError } from '#common/errors.ts';
import type { Exec } from '#common/exec.ts';
import type { IpSet } from './iptables-rules.ts';
import type { Family } from './types.ts';

export type IpSets = ReadonlyMap<string, IpSet>;

const most = 1_048_576;
const timeoutMs = 60_000;

/** Text for `ipset restore` that puts `wanted` in the place of what sets of these names hold: whoever looks sees the one or the other. */
export function replaceSets(wanted: IpSets, family: Family): string {
  return lines([...wanted].flatMap(([name, set]) => {
    const next = `${name}-n`;
    return [create(name, set, family), create(next, set, family), `flush ${next}`, ...[...set.members].map((member) => `add ${next} ${member} -exist`), `swap ${name} ${next}`, `destroy ${next}`];
  }));
}

/** What new rules need before they come. */
export function growSets(before: IpSets, after: IpSets, family: Family): string {
  return lines([...after].flatMap(([name, set]) => {
    const was = before.get(name)?.members;
    return [...(was ? [] : [create(name, set, family)]), ...[...set.members].filter((member) => !was?.has(member)).map((member) => `add ${name} ${member} -exist`)];
  }));
}

/** What old rules needed, when they are gone. */
export function shrinkSets(before: IpSets, after: IpSets): string {
  return lines([...before].flatMap(([name, { members }]) => {
    const is = after.get(name)?.members;
    return is ? [...members].filter((member) => !is.has(member)).map((member) => `del ${name} ${member.split(' ')[0] ?? ''} -exist`) : [`destroy ${name}`];
  }));
}

/** The sets that there are whose names begin so. */
export async function presentSets(exec: Exec, prefix: string, signal?: AbortSignal): Promise<string[]> {
  const { exitCode, stdout } = await exec('ipset', ['list', '-n'], { ...(signal && { signal }), maxBytes: 4 << 20 });
  return exitCode === 0 ? stdout.split('\n').filter((name) => name.startsWith(prefix)) : [];
}

export async function restoreSets(exec: Exec, input: string, signal?: AbortSignal): Promise<void> {
  if (input === '') return;
  const { exitCode, stderr } = await exec('ipset', ['restore'], { input, ...(signal && { signal }), timeoutMs });
  if (exitCode !== 0) throw new StatusError('InternalError', `ipset refused the sets of network policies: ${stderr.trim().slice(0, 1000)}`);
}

function create(name: string, { type }: IpSet, family: Family): string {
  return `create ${name} ${type} family ${family === 4 ? 'inet' : 'inet6'} maxelem ${String(most)} -exist`;
}

function lines(commands: readonly string[]): string {
  return commands.map((command) => `${command}\n`).join('');
}
