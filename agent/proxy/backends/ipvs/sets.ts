import type { ClaimChange } from '../../claims.ts';
import type { Family } from '../../families.ts';
import { setNames, setTypes, type SetName } from './rules.ts';

/** Text for `ipset restore`. Sets are created once, and replaced by swapping, so that a rule never sees half of one. */
const most = 1_048_576;

/** The full name of a set; both families have all of them. */
export function setName(tableName: string, family: Family, name: string): string {
  return `${setPrefix(tableName, family)}${name}`;
}

export function setPrefix(tableName: string, family: Family): string {
  return `${tableName}${family === 'ip' ? '4' : '6'}-`;
}

function create(name: SetName, full: string, family: Family): string {
  const type = setTypes[name];
  return `create ${full} ${type}${type === 'bitmap:port' ? ' range 0-65535' : ` family ${family === 'ip' ? 'inet' : 'inet6'} maxelem ${String(most)}`} -exist`;
}

/** Puts `members` in the place of what the sets hold, whatever that is. */
export function replaceSets(tableName: string, family: Family, members: (name: SetName) => Iterable<string>): string {
  return setNames.flatMap((name) => {
    const full = setName(tableName, family, name);
    const next = `${full}-n`;
    return [
      create(name, full, family), create(name, next, family), `flush ${next}`,
      ...[...members(name)].map((member) => `add ${next} ${member} -exist`), `swap ${full} ${next}`, `destroy ${next}`, '',
    ];
  }).join('\n');
}

/** Adds and removes members; empty when no set is concerned. */
export function changeSets(tableName: string, family: Family, changes: readonly ClaimChange[]): string {
  return changes.flatMap(({ kind, key, before, after }) => {
    if (!kind.startsWith('set ') || (before === undefined) === (after === undefined)) return [];
    return [`${after === undefined ? 'del' : 'add'} ${setName(tableName, family, kind.slice(4))} ${key}\n`];
  }).join('');
}

/** How many members each set has, from `ipset list -t`. */
export function parseCounts(text: string): Map<string, number> {
  const counts = new Map<string, number>();
  let name = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('Name: ')) name = line.slice(6).trim();
    else if (line.startsWith('Number of entries: ')) counts.set(name, Number(line.slice(19)));
  }
  return counts;
}
