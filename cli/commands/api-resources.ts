import { clusterCommand } from '../cluster-command.ts';
import { refuse, type Flag } from '../flags.ts';
import { columns } from '../printing/table.ts';
import { discover } from '../resources.ts';

const flags: readonly Flag[] = [
  { name: 'api-group', type: 'string', description: 'only this group; empty is the core group' },
  { name: 'namespaced', type: 'bool', description: 'only those that are in namespaces, or with =false those that are not' },
  { name: 'verbs', type: 'list', description: 'only those that have all these verbs' },
  { name: 'categories', type: 'list', description: 'only those of all these categories' },
  { name: 'no-headers', type: 'bool', description: 'leave the header line out' },
  { name: 'output', short: 'o', type: 'string', description: 'wide or name' },
  { name: 'sort-by', type: 'string', description: 'name or kind' },
];

export const command = clusterCommand({
  name: 'api-resources', usage: 'api-resources [flags]', summary: 'List the types of objects that the server has.', flags, examples: ['cleat api-resources', 'cleat api-resources --namespaced=false -o name'],
  async run({ client, parsed, io }) {
    if (parsed.args.length > 0) throw refuse('api-resources', `unexpected arguments: [${parsed.args.join(' ')}]`);
    const [output = '', group, sortBy = ''] = [parsed.string('output'), parsed.string('api-group'), parsed.string('sort-by')];
    if (!['', 'wide', 'name'].includes(output)) throw refuse('api-resources', `--output ${output} is not available; expected wide or name`);
    if (!['', 'name', 'kind'].includes(sortBy)) throw refuse('api-resources', '--sort-by accepts only name or kind');
    const found = (await discover(client)).filter((type) => (group === undefined || type.group === group) && (!parsed.has('namespaced') || type.namespaced === parsed.bool('namespaced'))
      && parsed.list('verbs').every((verb) => type.verbs?.includes(verb)) && parsed.list('categories').every((category) => type.categories?.includes(category)) && (type.verbs?.length ?? 0) > 0);
    const key = ({ group: of, plural, kind }: (typeof found)[number]): string => (sortBy === 'kind' ? kind : sortBy === 'name' ? plural : `${of} ${plural}`);
    found.sort((a, b) => (key(a) < key(b) ? -1 : 1));
    if (output === 'name') {
      io.out(found.map(({ plural, group: of }) => `${plural}${of === '' ? '' : `.${of}`}\n`).join(''));
      return 0;
    }
    const wide = output === 'wide';
    const rows = found.map(({ plural, shortNames, group: of, version, namespaced, kind, verbs = [], categories = [] }) => [plural, shortNames.join(','), of === '' ? version : `${of}/${version}`, String(namespaced), kind, ...(wide ? [verbs.join(','), categories.join(',')] : [])]);
    io.out(columns([...(parsed.bool('no-headers') ? [] : [['NAME', 'SHORTNAMES', 'APIVERSION', 'NAMESPACED', 'KIND', ...(wide ? ['VERBS', 'CATEGORIES'] : [])]]), ...rows]));
    return 0;
  },
});
