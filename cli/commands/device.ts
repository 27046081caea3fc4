import { deviceClass, deviceClassesMap, deviceClassesOf, deviceTypes, type DeviceClass } from '#api/devices/device-class.ts';
import type { ConfigMap, Node } from '#api/gen/types.ts';
import { isStatus, messageOf, StatusError } from '#common/errors.ts';
import type { RestClient } from '../client.ts';
import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { refuse, refuseMore, refuseVerb, type Flag } from '../flags.ts';
import { columns } from '../printing/table.ts';

const flags: readonly Flag[] = [
  { name: 'type', type: 'string', description: `what hosts are searched for: ${deviceTypes.join(', ')}; the class's name when not given, or path with --path` },
  { name: 'match', type: 'list', description: 'property that a device must have, as udev names it: ID_VENDOR_ID=10c4; * and ? stand for anything and for one character' },
  { name: 'path', type: 'list', description: 'devices by their paths: /dev/net/tun, /dev/ttyS*' },
  { name: 'shares', type: 'int', default: '1', description: 'how many containers may have one device at the same time' },
  { name: 'resource', type: 'string', description: 'what pods ask for; cleat.dev/NAME when not given' },
  { name: 'output', short: 'o', type: 'string', description: 'json; with list' },
];

const path = `/api/v1/namespaces/${deviceClassesMap.namespace}/configmaps`;
const attempts = 5;

export const command = clusterCommand({
  name: 'device', usage: 'device add NAME | list | remove NAME ... [flags]',
  summary: 'Devices of hosts that need no device plugin. Each class of devices is a resource that pods ask for in their limits; what asks for it gets the device, and no privileges.',
  flags, examples: ['cleat device add serial --match ID_VENDOR_ID=10c4', 'cleat device add camera --type video', 'cleat device add tun --path /dev/net/tun --shares 20', 'cleat device list', 'cleat device remove serial'], run,
});

async function run({ client, parsed, io }: Invocation): Promise<number> {
  const [verb = '', ...names] = parsed.args;
  const [name = '', ...more] = names;
  switch (verb) {
    case 'add': {
      if (name === '' || more.length > 0) throw refuse('device', 'name the class to add: one, such as serial');
      const match = parsed.list('match').map((pair) => { const at = pair.indexOf('='); if (at < 1) throw refuse('device', `invalid argument "${pair}" for "--match" flag: expected PROPERTY=VALUE`); return [pair.slice(0, at), pair.slice(at + 1)] as const; });
      const [type, resource, paths] = [parsed.string('type'), parsed.string('resource'), parsed.list('path')];
      const given = { ...(type !== undefined && { type }), ...(resource !== undefined && { resource }), ...(match.length > 0 && { match: Object.fromEntries(match) }), ...(paths.length > 0 && { paths }), ...(parsed.int('shares') !== 1 && { shares: parsed.int('shares') }) };
      const added = checked(name, given);
      await change(client, (data) => {
        if (data[name] !== undefined) throw new StatusError('AlreadyExists', `class "${name}" is there already; remove it first: cleat device remove ${name}`);
        const other = deviceClassesOf(data).classes.find((present) => present.resource === added.resource);
        if (other) throw new StatusError('Conflict', `resource ${added.resource} is that of class "${other.name}"; choose another with --resource`);
        return { ...data, [name]: JSON.stringify(given) };
      });
      io.out(`device class "${name}" added: pods ask for ${added.resource}\n`);
      return 0;
    }
    case 'list': {
      refuseMore('device', names);
      if (parsed.has('output') && parsed.string('output') !== 'json') throw refuse('device', "--output must be 'json'");
      return list(client, parsed.has('output'), io.out.bind(io));
    }
    case 'remove': {
      if (name === '') throw refuse('device', 'name the class to remove; see cleat device list');
      for (const one of names) {
        await change(client, ({ [one]: present, ...rest }) => {
          if (present === undefined) throw new StatusError('NotFound', `there is no device class "${one}"; see cleat device list`);
          return rest;
        });
        io.out(`device class "${one}" removed\n`);
      }
      return 0;
    }
    default: throw refuseVerb('device', verb, ['add', 'list', 'remove']);
  }
}

function checked(name: string, given: object): DeviceClass {
  try {
    return deviceClass(name, given);
  } catch (error) {
    throw refuse('device', messageOf(error));
  }
}

/** Classes, and how many devices of each there are, and can be given to pods, on which nodes. */
async function list(client: RestClient, asJson: boolean, out: (text: string) => unknown): Promise<number> {
  const map = await client.find<ConfigMap>(`${path}/${deviceClassesMap.name}`);
  const { items } = await client.json<{ items: Node[] }>('GET', '/api/v1/nodes');
  const { classes, problems } = deviceClassesOf(map?.data);
  if (asJson) {
    out(`${JSON.stringify({ classes, problems }, null, 4)}\n`);
    return 0;
  }
  if (classes.length === 0 && problems.length === 0) {
    out('No device classes. Add one: cleat device add serial --match ID_VENDOR_ID=10c4\n');
    return 0;
  }
  const rows = classes.flatMap(({ name, type, resource, match, paths, shares }) => {
    const what = [...paths, ...Object.entries(match).map(([key, value]) => `${key}=${value}`)].join(',') || '<all>';
    const nodes = items.filter(({ status }) => Number(status?.capacity?.[resource] ?? 0) > 0).map(({ metadata, status }) => `${metadata?.name ?? ''} (${status?.allocatable?.[resource] ?? '0'})`);
    return [[name, type, what, String(shares), resource, nodes.join(', ') || '<none>']];
  });
  out(columns([['NAME', 'TYPE', 'MATCH', 'SHARES', 'RESOURCE', 'NODES'], ...rows]));
  for (const problem of problems) out(`not used: ${problem}\n`);
  return 0;
}

/** Others change the same object: then it is judged anew. */
async function change(client: RestClient, changed: (data: Readonly<Record<string, string>>) => Readonly<Record<string, string>>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      const map = await client.find<ConfigMap>(`${path}/${deviceClassesMap.name}`);
      const data = changed(map?.data ?? {});
      if (map) await client.json('PUT', `${path}/${deviceClassesMap.name}`, { ...map, data });
      else await client.json('POST', path, { apiVersion: 'v1', kind: 'ConfigMap', metadata: deviceClassesMap, data });
      return;
    } catch (error) {
      if (attempt === attempts || !isStatus(error, 'Conflict', 'AlreadyExists') || /device class|class "/.test(messageOf(error))) throw error;
    }
  }
}
