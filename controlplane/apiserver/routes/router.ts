import { pods } from '#api/kinds/resources.ts';
import { StatusError } from '#common/errors.ts';
import type { Metrics } from '#common/metrics.ts';
import { kubernetesVersion } from '#common/version.ts';
import { noSuchPath } from '../api-errors.ts';
import { notAcceptable, objectForm, prefersYaml } from '../http/accept.ts';
import { withinAskedTime } from '../http/asked-timeout.ts';
import { json, text, type Reply } from '../http/reply.ts';
import type { ApiRequest } from '../http/request.ts';
import { reviewKinds } from './computed-kinds.ts';
import { Discovery } from './discovery.ts';
import type { Aggregated } from '../aggregation/aggregated.ts';
import type { Health } from './health.ts';
import { ObjectRoutes } from './objects.ts';
import type { OpenApi } from './openapi.ts';
import { serveBinding, serveEviction, serveLog, serveStream } from './pod-subresources.ts';
import type { User } from '../types.ts';
import type { KindCall, ResourceCall, RouteDeps } from './types.ts';
import type { UsageMetrics } from './usage-metrics.ts';
import { serveWatch, type WatchConfig } from './watches.ts';

const fixedPaths = ['/.well-known/openid-configuration', '/api', '/apis', '/metrics', '/openapi/v2', '/openapi/v3', '/openid/v1/jwks', '/version'];

export interface RouterConfig {
  readonly version: string;
  /** Given to anyone who asks, so that a new agent can check it against its token's fingerprint. */
  readonly clientCa: string;
  readonly watch: WatchConfig;
}

/** From a request to who answers it. What is rarely asked for is loaded when it is. */
export class Router {
  readonly #deps: RouteDeps;
  readonly #config: RouterConfig;
  readonly #health: Health;
  readonly #metrics: Metrics;
  readonly #objects: ObjectRoutes;
  readonly #discovery: Discovery;
  readonly #aggregated: Aggregated;
  readonly #fleet: ((request: ApiRequest) => Promise<Reply>) | undefined;
  readonly #openApi: () => Promise<OpenApi>;
  readonly #usage: () => Promise<UsageMetrics>;

  constructor(deps: RouteDeps, parts: { readonly health: Health; readonly metrics: Metrics; readonly aggregated: Aggregated; readonly fleet?: ((request: ApiRequest) => Promise<Reply>) | undefined }, config: RouterConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#health = parts.health;
    this.#metrics = parts.metrics;
    this.#objects = new ObjectRoutes(deps);
    this.#aggregated = parts.aggregated;
    this.#fleet = parts.fleet;
    this.#discovery = new Discovery(deps.kinds, parts.aggregated);
    this.#openApi = once(async () => new (await import('./openapi.ts')).OpenApi(deps.kinds, parts.aggregated));
    this.#usage = once(async () => new (await import('./usage-metrics.ts')).UsageMetrics(deps));
  }

  async resource(call: ResourceCall): Promise<Reply> {
    const { path } = call;
    const remote = this.#aggregated.services.remote(path.group, path.version);
    if (remote) return (await this.#aggregated.load()).serve(remote, call.request, call.user);
    if (path.beyond) throw noSuchPath();
    if (path.group === 'metrics.k8s.io') return (await this.#usage()).serve(call);
    if (reviewKinds[`${path.plural}.${path.group}`] !== undefined) {
      if (objectForm(call.request).form !== 'object') throw notAcceptable();
      return (await import('./access-reviews.ts')).serveAccessReview(this.#deps, call);
    }
    if (path.group === '' && path.plural === 'componentstatuses' && path.namespace === undefined) return (await import('./component-statuses.ts')).serveComponentStatuses(this.#deps, call);
    if (path.group === '' && path.plural === 'bindings' && path.namespace !== undefined && path.name === undefined) return serveBinding(this.#deps, { ...call, kind: this.#deps.kinds.of(pods) });
    const kind = this.#deps.kinds.find(path.group, path.version, path.plural);
    if (!kind || (path.namespace !== undefined && !kind.resource.namespaced)) throw noSuchPath();
    if (kind.resource.namespaced && path.namespace === undefined && path.name !== undefined) throw noSuchPath();
    const answer = await (call.verb === 'watch' ? this.#onKind({ ...call, kind }) : withinAskedTime(call.request.query, this.#deps.clock, () => this.#onKind({ ...call, kind })));
    const reply = prefersYaml(call.request) ? (await import('../http/yaml.ts')).yamlReply(answer) : answer;
    return kind.warning === undefined ? reply : { ...reply, warnings: [...reply.warnings ?? [], kind.warning] };
  }

  async #onKind(kindCall: KindCall): Promise<Reply> {
    const { path, verb } = kindCall;
    if (verb === 'watch') return serveWatch(this.#deps, this.#config.watch, kindCall);
    if (path.group === '' && path.plural === 'pods' && path.subresource === 'log') return serveLog(this.#deps, kindCall);
    if (path.group === '' && path.plural === 'pods' && path.subresource === 'binding') return serveBinding(this.#deps, kindCall);
    if (path.group === '' && path.plural === 'pods' && path.subresource === 'eviction') return serveEviction(this.#deps, kindCall);
    if (path.group === '' && path.plural === 'serviceaccounts' && path.subresource === 'token') return (await import('./token-requests.ts')).serveTokenRequest(this.#deps, kindCall);
    if (path.group === '' && path.plural === 'pods' && ['exec', 'attach', 'portforward'].includes(path.subresource ?? '')) return serveStream(this.#deps, kindCall);
    if (path.group === '' && path.subresource === 'proxy' && ['pods', 'services', 'nodes'].includes(path.plural)) return (await import('../streams/proxy/proxy.ts')).serveProxy(this.#deps, kindCall);
    return this.#objects.serve(kindCall);
  }

  async other(request: ApiRequest, user: User | undefined): Promise<Reply | undefined> {
    switch (request.segments[0]) {
      case undefined: return json({ paths: this.#paths() });
      case 'api':
      case 'apis': return await this.#remote(request, user) ?? this.#discovery.serve(request);
      case 'openapi': return (await this.#openApi()).serve(request);
      case 'version': return request.segments.length === 1 ? json(versionInfo(this.#config.version)) : undefined;
      case '.well-known':
      case 'openid': return this.#issuer(request);
      case 'cacerts': return request.segments.length === 1 ? text(this.#config.clientCa) : undefined;
      case 'cleat':
        // A backup holds every Secret and key: no role that reads all of /metrics and the like may reach it.
        if (!user?.groups.includes('system:masters')) throw new StatusError('Forbidden', `forbidden: ${request.segments.join('/')} is for the group system:masters alone; use the administrator's kubeconfig`);
        return this.#fleet?.(request);
      case 'metrics': return request.segments.length === 1 ? metricsReply(this.#metrics) : undefined;
      default: return this.#health.serve(request, user !== undefined);
    }
  }

  #paths(): string[] {
    const groups = this.#deps.kinds.groupVersions().flatMap(({ group, version }) => (group === '' ? [`/api/${version}`] : [`/apis/${group}`, `/apis/${group}/${version}`]));
    return [...new Set([...fixedPaths, ...this.#health.paths(), ...groups])].sort();
  }

  /** `/apis/GROUP/VERSION` of another server. */
  async #remote(request: ApiRequest, user: User | undefined): Promise<Reply | undefined> {
    const [, group = '', version = '', ...rest] = request.segments;
    const remote = rest.length === 0 ? this.#aggregated.services.remote(group, version) : undefined;
    return remote && user && (await this.#aggregated.load()).serve(remote, request, user);
  }

  /** How others check tokens of service accounts. Source: https://openid.net/specs/openid-connect-discovery-1_0.html */
  #issuer({ segments }: ApiRequest): Reply | undefined {
    const { tokens } = this.#deps.access;
    const headers = { 'Cache-Control': 'public, max-age=3600' };
    switch (segments.join('/')) {
      case '.well-known/openid-configuration': return { ...json(tokens.discovery), headers };
      case 'openid/v1/jwks': return { ...json(tokens.keySet), contentType: 'application/jwk-set+json', headers };
      default: return undefined;
    }
  }
}

function metricsReply(metrics: Metrics): Reply {
  return { ...text(metrics.text()), contentType: 'text/plain; version=0.0.4; charset=utf-8' };
}

/** The Kubernetes version whose API is served, and ours behind the plus sign. */
function versionInfo(version: string): unknown {
  return {
    major: '1', minor: '34', emulationMajor: '1', emulationMinor: '34', minCompatibilityMajor: '1', minCompatibilityMinor: '33', gitVersion: kubernetesVersion(version), gitCommit: '', gitTreeState: 'clean', buildDate: '1970-01-01T00:00:00Z',
    goVersion: `node ${process.versions.node}`, compiler: 'node', platform: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`,
  };
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => made ??= make();
}
