import { StatusError } from '#common/errors.ts';
import type { RestClient } from './client.ts';
import { refuse } from './flags.ts';
import { checkedName } from './names.ts';

/** What the command line must know of a kind to address it. */
export interface ResourceType {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly singular: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly shortNames: readonly string[];
  /** Words that stand for several kinds, such as `all`. */
  readonly categories?: readonly string[];
  /** Known of what was discovered. */
  readonly verbs?: readonly string[];
}

const known = (group: string, plural: string, kind: string, namespaced: boolean, ...shortNames: string[]): ResourceType =>
  ({ group, version: 'v1', plural, singular: kind.toLowerCase(), kind, namespaced, shortNames });

/** The kinds of everyday use, so that they need no discovery: one command, one request. */
const everyday: readonly ResourceType[] = [
  known('', 'pods', 'Pod', true, 'po'),
  known('', 'services', 'Service', true, 'svc'),
  known('', 'nodes', 'Node', false, 'no'),
  known('', 'namespaces', 'Namespace', false, 'ns'),
  known('', 'configmaps', 'ConfigMap', true, 'cm'),
  known('', 'secrets', 'Secret', true),
  known('', 'events', 'Event', true, 'ev'),
  known('', 'endpoints', 'Endpoints', true, 'ep'),
  known('', 'serviceaccounts', 'ServiceAccount', true, 'sa'),
  known('apps', 'deployments', 'Deployment', true, 'deploy'),
  known('apps', 'replicasets', 'ReplicaSet', true, 'rs'),
  known('discovery.k8s.io', 'endpointslices', 'EndpointSlice', true),
  known('coordination.k8s.io', 'leases', 'Lease', true),
];

interface ApiResourceList { readonly groupVersion: string; readonly resources: readonly { name: string; singularName?: string; kind: string; namespaced: boolean; shortNames?: string[]; categories?: string[]; verbs?: string[] }[] }
interface ApiGroupList { readonly groups: readonly { readonly preferredVersion: { readonly groupVersion: string } }[] }

/** Finds a kind by plural, singular, short name or kind, with or without its group (`deploy`, `deployments.apps`). */
export async function resolveResource(client: RestClient, name: string): Promise<ResourceType> {
  const found = everyday.find((type) => answersTo(type, name)) ?? (await discover(client)).find((type) => answersTo(type, name));
  if (!found) throw new StatusError('NotFound', `the server doesn't have a resource type "${name}"`);
  return found;
}

/** The kind of that name, or all of a category: `all`, or one that a custom resource names. */
async function resolveTypes(client: RestClient, name: string): Promise<readonly ResourceType[]> {
  const found = everyday.find((type) => answersTo(type, name));
  if (found) return [found];
  const types = await discover(client);
  const type = types.find((one) => answersTo(one, name));
  const members = type ? [type] : types.filter(({ categories = [] }) => categories.includes(name));
  if (members.length === 0) throw new StatusError('NotFound', `the server doesn't have a resource type "${name}"`);
  return members;
}

/** Finds the kind of an object in a file; `source` names that in errors. */
export async function resolveKind(client: RestClient, { apiVersion, kind, metadata }: { readonly apiVersion: string; readonly kind: string; readonly metadata: { readonly name?: string; readonly namespace?: string } }, source: string): Promise<ResourceType> {
  const matches = (type: ResourceType): boolean => type.kind === kind && (type.group === '' ? type.version : `${type.group}/${type.version}`) === apiVersion;
  const found = everyday.find(matches) ?? (await discover(client)).find(matches);
  if (!found) throw new StatusError('NotFound', `resource mapping not found for name: "${metadata.name ?? ''}" namespace: "${metadata.namespace ?? ''}" from "${source}": no matches for kind "${kind}" in version "${apiVersion}"\nensure CRDs are installed first`);
  return found;
}

function answersTo(type: ResourceType, name: string): boolean {
  const lower = name.toLowerCase();
  const names = [type.plural, type.singular, type.kind.toLowerCase(), ...type.shortNames];
  return names.some((own) => lower === own || lower === `${own}.${type.version}.${type.group}` || (type.group !== '' && lower === `${own}.${type.group}`));
}

/** All types of the server, in the version of their group that it prefers. */
export async function discover(client: RestClient): Promise<ResourceType[]> {
  const groups = await client.json<ApiGroupList>('GET', '/apis');
  const paths = ['/api/v1', ...groups.groups.map((group) => `/apis/${group.preferredVersion.groupVersion}`)];
  const lists = await Promise.all(paths.map((path) => client.json<ApiResourceList>('GET', path)));
  return lists.flatMap((list) => {
    const [group = '', version = ''] = list.groupVersion.includes('/') ? list.groupVersion.split('/') : ['', list.groupVersion];
    return list.resources.filter((r) => !r.name.includes('/')).map((r) => ({ group, version, plural: r.name, singular: r.singularName || r.kind.toLowerCase(), kind: r.kind, namespaced: r.namespaced, shortNames: r.shortNames ?? [], categories: r.categories ?? [], verbs: r.verbs ?? [] }));
  });
}

/** `/api/v1/namespaces/default/pods/web`; without a namespace the list of all. */
export function pathOf(type: ResourceType, namespace: string | undefined, name?: string, subresource?: string): string {
  const root = type.group === '' ? `/api/${type.version}` : `/apis/${type.group}/${type.version}`;
  const scope = type.namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${root}${scope}/${type.plural}${name === undefined ? '' : `/${encodeURIComponent(name)}`}${subresource === undefined ? '' : `/${subresource}`}`;
}

/** Where an object of a file belongs: where it says itself, else where the command is; undefined for a kind without namespaces. `enforced`: the user named the namespace, and an object that says another is refused. */
export function namespaceOf({ namespaced }: ResourceType, own: string | undefined, { namespace, enforced }: { readonly namespace: string; readonly enforced: boolean }): string | undefined {
  if (!namespaced) return undefined;
  if (enforced && own !== undefined && own !== namespace) throw new StatusError('BadRequest', `the namespace from the provided object "${own}" does not match the namespace "${namespace}". You must pass '--namespace=${own}' to perform this operation.`);
  return checkedName(own ?? namespace, 'namespace');
}

/** `deployment.apps`. */
export function qualifiedName({ singular, group }: ResourceType): string {
  return group === '' ? singular : `${singular}.${group}`;
}

/** `deployment.apps/web`: how commands name what they changed. */
export function displayName(type: ResourceType, name: string): string {
  return `${qualifiedName(type)}/${name}`;
}

export interface Target {
  readonly type: ResourceType;
  readonly name: string | undefined;
  /** Where the object itself says that it is; else the command's namespace counts. */
  readonly namespace?: string | undefined;
}

/** Reads `pods`, `pod web api`, `po/web svc/web`, `pods,services`, `all`. `command` is for errors. */
export async function parseTargets(client: RestClient, args: readonly string[], command: string): Promise<Target[]> {
  const [first = '', ...rest] = args;
  if (first === '') throw refuse(command, `You must specify the type of resource to ${command}. Use "cleat api-resources" for a complete list of supported resources.`);
  if (args.some((arg) => arg.includes('/'))) {
    return Promise.all(args.map(async (arg) => {
      const [type = '', name, ...more] = arg.split('/');
      if (more.length > 0) throw new StatusError('BadRequest', 'arguments in resource/name form may not have more than one slash');
      if (type === '' || name === '') throw new StatusError('BadRequest', 'arguments in resource/name form must have a single resource and name');
      if (name === undefined) throw new StatusError('BadRequest', `there is no need to specify a resource type as a separate argument when passing arguments in resource/name form (e.g. 'cleat get resource/<resource_name>' instead of 'cleat get resource resource/<resource_name>')`);
      return { type: await resolveResource(client, type), name: checkedName(name) };
    }));
  }
  for (const name of rest) checkedName(name);
  const types = await Promise.all(first.split(',').map((name) => resolveTypes(client, name)));
  const once = new Map(types.flat().map((type) => [`${type.plural}.${type.group}`, type])).values();
  return [...once].flatMap((type): Target[] => (rest.length === 0 ? [{ type, name: undefined }] : rest.map((name) => ({ type, name }))));
}
