import { createHash } from 'node:crypto';
import { apiVersionOf } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import { compareVersions } from '#api/meta/versions.ts';
import type { Aggregated } from '../aggregation/aggregated.ts';
import { noSuchPath } from '../api-errors.ts';
import { isJson, mediaRanges, notAcceptable } from '../http/accept.ts';
import { tagged } from '../http/compress.ts';
import { json, jsonType, type Reply } from '../http/reply.ts';
import type { ApiRequest } from '../http/request.ts';
import type { KindIndex } from '../kind-index.ts';
import { deletesCollections } from '../write-rules.ts';
import { reviewKinds } from './computed-kinds.ts';

export interface ResourceEntry {
  readonly name: string;
  readonly singularName: string;
  readonly namespaced: boolean;
  readonly kind: string;
  readonly group?: string;
  readonly version?: string;
  readonly verbs: readonly string[];
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  /** Changes when objects are stored in another version. */
  readonly storageVersionHash?: string;
}

interface GroupVersionEntry {
  readonly version: string;
  readonly resources: readonly ResourceEntry[];
  /** Another server knows the resources. */
  readonly isRemote?: boolean;
}
/** The preferred version comes first. */
interface Group { readonly name: string; readonly versions: readonly GroupVersionEntry[] }

const allVerbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];
const subVerbs = ['get', 'patch', 'update'];

/** What is served, in both of Kubernetes' forms: one document per group version, and everything at once. */
export class Discovery {
  readonly #kinds: KindIndex;
  readonly #aggregated: Aggregated;
  #known: { readonly edition: string; readonly groups: readonly Group[] } | undefined;

  constructor(kinds: KindIndex, aggregated: Aggregated) {
    this.#kinds = kinds;
    this.#aggregated = aggregated;
  }

  get #groups(): readonly Group[] {
    const edition = `${String(this.#kinds.edition)} ${String(this.#aggregated.services.edition)}`;
    if (this.#known?.edition !== edition) this.#known = { edition, groups: groupsOf(this.#kinds, this.#aggregated.services) };
    return this.#known.groups;
  }

  /** Undefined when the path is not one of discovery's. */
  serve(request: ApiRequest): Promise<Reply> | Reply | undefined {
    const [root, group, version, ...rest] = request.segments;
    if (root === 'api') {
      if (group === undefined) return this.#asWhole(request, true) ?? json({ kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: request.headers.host ?? request.headers[':authority'] ?? '' }] });
      return version === undefined ? this.#resources('', group) : undefined;
    }
    if (root !== 'apis' || rest.length > 0) return undefined;
    if (group === undefined) return this.#asWhole(request, false) ?? json({ kind: 'APIGroupList', apiVersion: 'v1', groups: this.#groups.filter(({ name }) => name !== '').map(groupDocument) });
    if (version !== undefined) return this.#resources(group, version);
    const found = this.#groups.find(({ name }) => name === group && name !== '');
    if (!found) throw noSuchPath();
    return json({ kind: 'APIGroup', apiVersion: 'v1', ...groupDocument(found) });
  }

  #resources(name: string, version: string): Reply {
    const found = this.#groups.find((one) => one.name === name)?.versions.find((one) => one.version === version);
    if (!found) throw noSuchPath();
    return json({ kind: 'APIResourceList', apiVersion: 'v1', groupVersion: apiVersionOf({ group: name, version }), resources: found.resources });
  }

  /** Undefined when the client does not ask for the aggregated form. */
  #asWhole(request: ApiRequest, core: boolean): Promise<Reply> | undefined {
    for (const range of mediaRanges(request.headers.accept)) {
      if (!isJson(range)) continue;
      const version = range.params.get('v') ?? '';
      if (range.params.get('as') === undefined) return undefined;
      if (range.params.get('g') !== 'apidiscovery.k8s.io' || range.params.get('as') !== 'APIGroupDiscoveryList' || !['v2', 'v2beta1'].includes(version)) continue;
      return this.#whole(request, version, core);
    }
    throw notAcceptable();
  }

  async #whole(request: ApiRequest, version: string, core: boolean): Promise<Reply> {
    const groups = this.#groups.filter(({ name }) => (name === '') === core);
    const items = await Promise.all(groups.map(async ({ name, versions }) => ({
      metadata: { ...(name !== '' && { name }), creationTimestamp: null },
      versions: await Promise.all(versions.map(async (one) => (one.isRemote ? this.#foreign(name, one) : aggregatedVersion(name, one)))),
    })));
    const body = JSON.stringify({ kind: 'APIGroupDiscoveryList', apiVersion: `apidiscovery.k8s.io/${version}`, metadata: {}, items });
    return tagged(request, { status: 200, contentType: `${jsonType};g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`, body, headers: { Vary: 'Accept' } });
  }

  async #foreign(group: string, entry: GroupVersionEntry): Promise<unknown> {
    const remote = this.#aggregated.services.remote(group, entry.version);
    const { resources, isCurrent } = remote ? await (await this.#aggregated.load()).documents.resources(remote) : { resources: [], isCurrent: false };
    return { ...aggregatedVersion(group, { ...entry, resources }), ...(!isCurrent && { freshness: 'Stale' }) };
  }
}

function groupsOf(kinds: KindIndex, services: Aggregated['services']): readonly Group[] {
  const local = [...kinds.groupVersions().map((gv) => ({ group: gv.group, version: gv.version, resources: [...gv.kinds.flatMap(entriesOf), ...(gv.group === '' ? computedInCore : [])].sort((a, b) => (a.name < b.name ? -1 : 1)) })), ...computed];
  const remote = services.remotes.map((one) => ({ group: one.group, version: one.version, resources: [], isRemote: true }));
  const all = [...local.filter(({ group, version }) => !services.remote(group, version)), ...remote].map((one) => ({ ...one, ...services.priority(one.group, one.version) }));
  const groups = [...Map.groupBy(all, ({ group }) => group)].map(([name, versions]) => ({
    name, rank: Math.max(...versions.map(({ groupPriorityMinimum }) => groupPriorityMinimum)),
    versions: versions.sort((a, b) => b.versionPriority - a.versionPriority || compareVersions(a.version, b.version)),
  }));
  return groups.sort((a, b) => b.rank - a.rank || (a.name < b.name ? -1 : 1));
}

const connect = ['create', 'get'];
const proxied = ['create', 'delete', 'get', 'patch', 'update'];
/** Subresources that connect to what runs: name, kind of the options, verbs. */
const streams: Readonly<Record<string, readonly (readonly [string, string, string[]])[]>> = {
  pods: [['attach', 'PodAttachOptions', connect], ['exec', 'PodExecOptions', connect], ['portforward', 'PodPortForwardOptions', connect], ['proxy', 'PodProxyOptions', proxied]],
  services: [['proxy', 'ServiceProxyOptions', proxied]],
  nodes: [['proxy', 'NodeProxyOptions', proxied]],
};

function entriesOf(kind: KindDefinition): ResourceEntry[] {
  const { plural, kind: name, namespaced } = kind.resource;
  const base = { singularName: '', namespaced, kind: name };
  return [
    { ...base, name: plural, singularName: kind.singular, verbs: deletesCollections(kind) ? allVerbs : allVerbs.filter((verb) => verb !== 'deletecollection'), storageVersionHash: storageHash(kind), ...(kind.shortNames.length > 0 && { shortNames: kind.shortNames }), ...(kind.categories.length > 0 && { categories: kind.categories }) },
    ...(kind.status ? [{ ...base, name: `${plural}/status`, verbs: subVerbs }] : []),
    ...(kind.scale ? [{ ...base, name: `${plural}/scale`, kind: 'Scale', group: 'autoscaling', version: 'v1', verbs: subVerbs }] : []),
    ...Object.keys(kind.parts ?? {}).map((name) => ({ ...base, name: `${plural}/${name}`, verbs: subVerbs })),
    ...(plural === 'pods' ? [{ ...base, name: 'pods/log', verbs: ['get'] }, { ...base, name: 'pods/binding', kind: 'Binding', verbs: ['create'] }, { ...base, name: 'pods/eviction', kind: 'Eviction', group: 'policy', version: 'v1', verbs: ['create'] }] : []),
    ...(streams[plural] ?? []).map(([subresource, options, verbs]) => ({ ...base, name: `${plural}/${subresource}`, kind: options, verbs })),
    ...(plural === 'serviceaccounts' ? [{ ...base, name: 'serviceaccounts/token', kind: 'TokenRequest', group: 'authentication.k8s.io', version: 'v1', verbs: ['create'] }] : []),
    ...(plural === 'certificatesigningrequests' ? [{ ...base, name: 'certificatesigningrequests/approval', verbs: subVerbs }] : []),
    ...(plural === 'namespaces' ? [{ ...base, name: 'namespaces/finalize', verbs: ['update'] }] : []),
  ];
}

/** As Kubernetes makes it: clients compare it, and no more. */
function storageHash({ resource: { group, version, kind }, stored }: KindDefinition): string {
  const [, storedVersion = version] = /([^/]+)$/.exec(stored?.apiVersion ?? '') ?? [];
  return createHash('sha256').update(`${group}/${storedVersion}/${kind}`).digest().subarray(0, 8).toString('base64');
}

const reviews = (group: string): ResourceEntry[] => Object.values(reviewKinds).flatMap((kind) => (kind?.resource.group === group
  ? [{ name: kind.resource.plural, singularName: kind.singular, namespaced: kind.resource.namespaced, kind: kind.resource.kind, verbs: ['create'] }] : []));

/** What `v1` has beside the kinds that are stored. */
const computedInCore: readonly ResourceEntry[] = [
  { name: 'bindings', singularName: 'binding', namespaced: true, kind: 'Binding', verbs: ['create'] },
  { name: 'componentstatuses', singularName: 'componentstatus', namespaced: false, kind: 'ComponentStatus', shortNames: ['cs'], verbs: ['get', 'list'] },
];

/** Group versions whose objects are computed, not stored. */
const computed: readonly ({ readonly group: string } & GroupVersionEntry)[] = [
  { group: 'authentication.k8s.io', version: 'v1', resources: reviews('authentication.k8s.io') },
  { group: 'authorization.k8s.io', version: 'v1', resources: reviews('authorization.k8s.io') },
  { group: 'metrics.k8s.io', version: 'v1beta1', resources: [
    { name: 'nodes', singularName: '', namespaced: false, kind: 'NodeMetrics', verbs: ['get', 'list'] },
    { name: 'pods', singularName: '', namespaced: true, kind: 'PodMetrics', verbs: ['get', 'list'] },
  ] },
];

function groupDocument({ name, versions }: Group): Record<string, unknown> {
  const entries = versions.map(({ version }) => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions: entries, preferredVersion: entries[0] };
}

function aggregatedVersion(group: string, { version, resources }: GroupVersionEntry): Readonly<Record<string, unknown>> {
  const main = resources.filter((resource) => !resource.name.includes('/'));
  return {
    version, freshness: 'Current',
    resources: main.map((resource) => ({
      resource: resource.name,
      responseKind: { group: resource.group ?? group, version: resource.version ?? version, kind: resource.kind },
      scope: resource.namespaced ? 'Namespaced' : 'Cluster',
      singularResource: resource.singularName,
      verbs: resource.verbs,
      ...(resource.shortNames && { shortNames: resource.shortNames }),
      ...(resource.categories && { categories: resource.categories }),
      subresources: resources.filter((sub) => sub.name.startsWith(`${resource.name}/`)).map((sub) => ({
        subresource: sub.name.slice(resource.name.length + 1),
        responseKind: { group: sub.group ?? group, version: sub.version ?? version, kind: sub.kind },
        verbs: sub.verbs,
      })),
    })),
  };
}
