import type { Endpoints, Event, Pod, ReplicaSet } from '#api/gen/types.ts';
import { StatusError } from '#common/errors.ts';
import { RestClient } from '../client.ts';
import { describeAny, describers, type Context } from '../describe/kinds.ts';
import { clusterFlags, helpText, parseFlags, type Flag } from '../flags.ts';
import { readConnection } from '../kubeconfig.ts';
import { humanAge } from '../printing/age.ts';
import { parseTargets, pathOf, type ResourceType, type Target } from '../resources.ts';
import type { Command } from '../types.ts';

const flags: readonly Flag[] = [
  ...clusterFlags,
  { name: 'all-namespaces', short: 'A', type: 'bool', description: 'from all namespaces' },
  { name: 'selector', short: 'l', type: 'string', description: 'only objects with these labels' },
  { name: 'show-events', type: 'bool', default: 'true', description: 'add the Events' },
];

type Described = Readonly<Record<string, unknown>> & { readonly metadata: { readonly name: string; readonly namespace?: string; readonly uid: string } };

export const command: Command = {
  help: () => helpText('describe TYPE [NAME ...] [flags]', 'Show one object, what belongs to it, and its Events.', flags, ['cleat describe pod web', 'cleat describe deployments -l app=web']),
  async run(argv, io) {
    const parsed = parseFlags('describe', flags, argv);
    const client = new RestClient(await readConnection(parsed, io.env));
    try {
      const namespace = parsed.bool('all-namespaces') ? undefined : client.connection.namespace;
      const selector = parsed.string('selector');
      let shown = 0;
      for (const target of await parseTargets(client, parsed.args)) {
        for (const object of await find(client, target, namespace, selector)) {
          const describe = describers[target.type.kind];
          const context = await contextOf(client, target.type, object);
          const text = describe ? describe(object as never, context).toString() : describeAny({ kind: target.type.kind, ...object }).toString();
          io.out((shown++ > 0 ? '\n\n' : '') + text + (parsed.bool('show-events') ? await events(client, target.type, object, context.nowMs) : ''));
        }
      }
      if (shown === 0) io.err(`No resources found${namespace === undefined ? '' : ` in ${namespace} namespace.`}\n`);
      return 0;
    } finally {
      client.close();
    }
  },
};

async function find(client: RestClient, { type, name }: Target, namespace: string | undefined, selector: string | undefined): Promise<readonly Described[]> {
  if (name !== undefined) return [await client.json<Described>('GET', pathOf(type, namespace ?? missingNamespace(), name))];
  const query = selector === undefined ? '' : `?labelSelector=${encodeURIComponent(selector)}`;
  return (await client.json<{ items: Described[] }>('GET', pathOf(type, namespace) + query)).items;
}

function missingNamespace(): never {
  throw new StatusError('BadRequest', 'a resource cannot be retrieved by name across all namespaces');
}

async function contextOf(client: RestClient, type: ResourceType, object: Described): Promise<Context> {
  const { namespace, name } = object.metadata;
  const list = async <T>(path: string): Promise<T[]> => (await client.json<{ items: T[] }>('GET', path)).items;
  const inNamespace = `/namespaces/${namespace ?? ''}`;
  return {
    nowMs: Date.now(),
    pods: type.kind === 'Node' ? await list<Pod>(`/api/v1/pods?fieldSelector=${encodeURIComponent(`spec.nodeName=${name}`)}`) : type.kind === 'ReplicaSet' ? await list<Pod>(`/api/v1${inNamespace}/pods`) : [],
    replicaSets: type.kind === 'Deployment' ? await list<ReplicaSet>(`/apis/apps/v1${inNamespace}/replicasets`) : [],
    endpoints: type.kind === 'Service' ? await client.find<Endpoints>(`/api/v1${inNamespace}/endpoints/${name}`) : undefined,
  };
}

async function events(client: RestClient, type: ResourceType, object: Described, nowMs: number): Promise<string> {
  const { namespace, name, uid } = object.metadata;
  // Events about nodes carry the node's name as uid when an agent sends them before it knows its object.
  const about = `involvedObject.name=${name},involvedObject.kind=${type.kind}${type.kind === 'Node' ? '' : `,involvedObject.uid=${uid}`}`;
  const { items } = await client.json<{ items: Event[] }>('GET', `/api/v1${namespace === undefined ? '' : `/namespaces/${namespace}`}/events?fieldSelector=${encodeURIComponent(about)}`);
  if (items.length === 0) return 'Events:  <none>\n';
  const lastSeen = (event: Event): string => event.lastTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp ?? '';
  const rows = items.sort((a, b) => Date.parse(lastSeen(a)) - Date.parse(lastSeen(b))).map((event) => {
    const age = humanAge(nowMs - Date.parse(lastSeen(event)));
    const count = event.count ?? 1;
    return [event.type ?? '', event.reason ?? '', count > 1 ? `${age} (x${String(count)} over ${humanAge(nowMs - Date.parse(event.firstTimestamp ?? lastSeen(event)))})` : age, event.source?.component ?? event.reportingComponent ?? '', event.message ?? ''];
  });
  const { DescribeWriter } = await import('../describe/writer.ts');
  return new DescribeWriter().line('Events:').table(['Type', 'Reason', 'Age', 'From', 'Message'], rows).toString();
}
