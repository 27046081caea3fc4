import type { KindDefinition } from '#api/kinds/types.ts';
import { resolve, type Schema } from '#api/meta/schema.ts';

export interface ArbitraryRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | undefined;
}

/** 0 to 1, the same series for the same seed. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const names = ['a', 'b', 'c', 'web', 'default', '__proto__', 'constructor', 'toString', 'x'.repeat(300), 'Ünïcode', 'with space', 'UPPER', 'a..b', '-', '0', 'null', 'status', 'true'];
const rawSegments = ['..', '%2e%2e', '%2f', '%00', '%', '%zz', '%c3%28', ';', '~', '.', '', '//', '..%2f..%2fetc%2fpasswd', '%5c..%5c', 'a%0d%0aX:%20y'];
const subresources = ['status', 'scale', 'binding', 'log', 'eviction', 'finalize', 'token', 'approval', 'ephemeralcontainers', 'resize', 'exec', 'attach', 'portforward', '__proto__', 'nothing'];
const parameters = ['limit', 'continue', 'labelSelector', 'fieldSelector', 'resourceVersion', 'resourceVersionMatch', 'timeoutSeconds', 'dryRun', 'fieldValidation', 'fieldManager', 'force', 'propagationPolicy', 'gracePeriodSeconds',
  'orphanDependents', 'includeObject', 'sendInitialEvents', 'allowWatchBookmarks', 'tailLines', 'container', 'follow', 'sinceTime', 'pretty', 'hash', 'exclude', 'verbose', '__proto__'];
const values = ['', '0', '1', '-1', '5', 'true', 'false', 'All', 'Strict', 'Warn', 'Ignore', 'me', 'Foreground', 'Orphan', 'Exact', 'NotOlderThan', 'None', 'Object', 'a=b', 'a in (b,c),!d', 'a in (', 'metadata.name=a', 'metadata.name!=a,spec.x=1',
  '9'.repeat(30), '1e9', 'NaN', '\u0000', '💥', 'x'.repeat(2000), '(((', '%', '2026-01-01T00:00:00Z', 'eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJjb3JlL3BvZHMvIn0'];
const contentTypes = ['application/json', 'application/json', 'application/json', 'application/yaml', 'application/json-patch+json', 'application/merge-patch+json', 'application/strategic-merge-patch+json', 'application/apply-patch+yaml',
  'application/vnd.kubernetes.protobuf', 'text/plain', 'application/json; charset=utf-16', '', ';;;'];
const accepts = ['application/json', '*/*', 'application/yaml', 'application/json;as=Table;v=v1;g=meta.k8s.io', 'application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json', 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io',
  'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io', 'application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io', 'application/vnd.kubernetes.protobuf', 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf', 'x', ';;,', ''];
const others = ['/', '/api', '/apis', '/api/v1', '/apis/apps/v1', '/openapi/v2', '/openapi/v3', '/openapi/v3/api/v1', '/version', '/healthz', '/readyz/store', '/livez?verbose', '/metrics', '/nothing', '/.well-known/openid-configuration', '/apis/metrics.k8s.io/v1beta1/nodes'];
const oddValues: readonly unknown[] = [null, true, 0, -1, 1e308, -0.5, 2 ** 53, 2 ** 31, '', 'x', '💥', '\u0000', 'x'.repeat(5000), [], {}, [[]], [null], { a: { b: {} } }, '2026-01-01T00:00:00Z', '1Gi', '1e9999', '$(A)', '-', 'a/b/c'];
const oddKeys = ['__proto__', 'constructor', 'hasOwnProperty', '$patch', '$retainKeys', '$setElementOrder/containers', '$deleteFromPrimitiveList/finalizers', '', '.', 'a/b', 'f:x', 'k:{"name":"a"}', 'managedFields'];

const pod = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'a', image: 'i', ports: [{ containerPort: 80, name: 'http' }], env: [{ name: 'A', value: 'x' }] }], volumes: [{ name: 'v', emptyDir: {} }] } };
const workload = { spec: { selector: { matchLabels: { a: 'b' } }, template: pod } };
/** Sound objects, by plural: what is wrong with a request is then one thing. */
const sound: Readonly<Record<string, object>> = {
  configmaps: { data: { a: '1', b: '2' } }, secrets: { data: { a: 'eA==' } }, pods: pod, services: { spec: { selector: { a: 'b' }, ports: [{ port: 80, targetPort: 'http' }] } },
  deployments: workload, replicasets: workload, daemonsets: workload, statefulsets: { spec: { ...workload.spec, serviceName: 'a' } }, jobs: { spec: { template: { spec: { ...pod.spec, restartPolicy: 'Never' } } } },
  nodes: {}, namespaces: {}, serviceaccounts: {}, leases: { spec: { holderIdentity: 'a' } }, clusterroles: { rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }] }, roles: { rules: [] },
  endpoints: { subsets: [{ addresses: [{ ip: '10.0.0.1' }], ports: [{ port: 80 }] }] }, limitranges: { spec: { limits: [{ type: 'Container', max: { cpu: '1' } }] } }, priorityclasses: { value: 5 },
};

/** Requests that no client sends, and those that one might, made of what `kinds` are. */
export class ArbitraryRequests {
  readonly #random: () => number;
  readonly #kinds: readonly KindDefinition[];

  constructor(kinds: readonly KindDefinition[], random: () => number) {
    this.#kinds = kinds;
    this.#random = random;
  }

  next(): ArbitraryRequest {
    const kind = this.#pick(this.#kinds);
    const method = this.#pick(['GET', 'GET', 'GET', 'POST', 'POST', 'POST', 'PUT', 'PUT', 'PATCH', 'PATCH', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS', 'PROPFIND']);
    const type = method === 'PATCH' && this.#chance(0.9) ? this.#pick(contentTypes.slice(4, 8)) : this.#pick(contentTypes);
    const body = method === 'GET' || method === 'HEAD' ? undefined : this.#body(kind, type);
    return { method, path: this.#path(kind, method), headers: { accept: this.#chance(0.8) ? '*/*' : this.#pick(accepts), 'user-agent': 'fuzz/1', ...(body && { 'content-type': type, 'content-length': String(body.length) }) }, body };
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)] as T;
  }

  #chance(of: number): boolean {
    return this.#random() < of;
  }

  #path({ resource: { group, version, namespaced, plural } }: KindDefinition, method: string): string {
    const query = new URLSearchParams(Array.from({ length: Math.max(0, Math.floor(this.#random() * 5) - 1) }, (): [string, string] => [this.#pick(parameters), this.#pick(values)]));
    if (this.#chance(0.08)) return `${this.#pick(others)}?${query.toString()}`;
    const segment = (): string => (this.#chance(0.05) ? this.#pick(rawSegments) : encodeURIComponent(this.#pick(names)));
    const parts = [group === '' ? `/api/${version}` : `/apis/${group}/${version}`];
    if (this.#chance(0.02)) parts.push('watch');
    if (namespaced && this.#chance(0.95)) parts.push('namespaces', this.#chance(0.95) ? 'default' : segment());
    parts.push(plural);
    const isNamed = this.#chance(method === 'POST' ? 0.15 : method === 'GET' ? 0.7 : 0.97);
    if (isNamed) parts.push(this.#chance(0.6) ? this.#pick(['a', 'b', 'c', 'web']) : segment());
    if (isNamed && this.#chance(0.2)) parts.push(this.#pick(subresources));
    if (this.#chance(0.02)) parts.push(segment());
    return `${parts.join('/')}?${query.toString()}`;
  }

  #body(kind: KindDefinition, type: string): Buffer {
    const shape = this.#random();
    if (shape < 0.03) return Buffer.from(Array.from({ length: Math.floor(this.#random() * 200) }, () => Math.floor(this.#random() * 256)));
    if (shape < 0.05) return Buffer.from('['.repeat(Math.floor(this.#random() * 100_000)));
    if (shape < 0.07) return Buffer.from(`${'{"a":'.repeat(300)}1${'}'.repeat(300)}`);
    if (shape < 0.09) return Buffer.from(this.#pick(['a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b,*b]', 'a: !!js/function x', '<<: {a: b}\na: c', '? {a: b}\n: c', 'a: 1\na: 2', '- - - -', '%YAML 9.9\n---\na', '---\na: 1\n---\nb: 2', ': :', '\t']));
    if (shape < 0.11) return Buffer.concat([Buffer.from('k8s\0'), Buffer.from(Array.from({ length: Math.floor(this.#random() * 60) }, () => Math.floor(this.#random() * 256)))]);
    if (shape < 0.13) return Buffer.from(JSON.stringify(this.#odd()));
    if (type === 'application/json-patch+json' && shape < 0.9) return Buffer.from(JSON.stringify(Array.from({ length: Math.floor(this.#random() * 4) }, () => this.#operation())));
    const object = this.#object(kind);
    const text = JSON.stringify(object) ?? '';
    if (shape < 0.16) return Buffer.from(text.replace(/"(\w+)":/, '"$1":7,"$1":'));
    if (shape < 0.18) return Buffer.from(text.slice(0, Math.floor(this.#random() * text.length)));
    if (shape < 0.2) return Buffer.concat([Buffer.from(text.slice(0, -1)), Buffer.from([0xc3, 0x28, 0xff]), Buffer.from('}')]);
    return Buffer.from(text);
  }

  /** A copy: what is made of it must not come back with the next one. */
  #odd(): unknown {
    return structuredClone(this.#pick(oddValues));
  }

  #operation(): unknown {
    const pointer = (): string => this.#pick(['', '/', '/metadata', '/metadata/labels/a', '/metadata/name', '/spec', '/spec/containers/0', '/spec/containers/-', '/spec/containers/99999999999', '/data/a', '/__proto__/polluted', '/constructor/prototype/x', '/metadata/managedFields/0', '/a~1b~0c', '/~2', 'nothing']);
    return this.#chance(0.05) ? this.#odd() : { op: this.#pick(['add', 'remove', 'replace', 'move', 'copy', 'test', 'explode']), path: pointer(), ...(this.#chance(0.5) && { from: pointer() }), ...(this.#chance(0.8) && { value: this.#odd() }) };
  }

  #object(kind: KindDefinition): unknown {
    const { group, version, kind: word, namespaced } = kind.resource;
    const template = sound[kind.resource.plural];
    const value = template && this.#chance(0.7) ? this.#mutated(structuredClone(template)) : this.#value(kind.schema(), 0);
    const object: Record<string, unknown> = typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : { value };
    if (this.#chance(0.9)) Object.assign(object, { apiVersion: group === '' ? version : `${group}/${version}`, kind: word });
    if (this.#chance(0.9)) object['metadata'] = { ...(this.#chance(0.3) ? { generateName: 'g-' } : { name: this.#pick(this.#chance(0.7) ? names.slice(0, 4) : names) }), ...(namespaced && this.#chance(0.3) && { namespace: 'default' }), ...(this.#chance(0.15) && (this.#value({ $ref: 'ObjectMeta' }, 2) as object)) };
    if (this.#chance(0.05)) Object.defineProperty(object, this.#pick(oddKeys), { value: this.#odd(), enumerable: true, configurable: true });
    return object;
  }

  /** With one thing changed, somewhere, half of the time. */
  #mutated(value: object): object {
    if (this.#chance(0.5)) return value;
    let here = value as Record<string, unknown>;
    for (;;) {
      const key = this.#pick(Object.keys(here));
      const inner: unknown = here[key];
      if (typeof inner === 'object' && inner !== null && Object.keys(inner).length > 0 && this.#chance(0.8)) {
        here = inner as Record<string, unknown>;
        continue;
      }
      here[this.#chance(0.2) ? this.#pick(oddKeys.slice(1)) : key ?? 'a'] = this.#odd();
      return value;
    }
  }

  /** What `schema` asks for, most of the time. */
  #value(schema: Schema, depth: number): unknown {
    const target = resolve(schema);
    if (this.#chance(0.01)) return this.#odd();
    if (target.enum) return this.#pick(target.enum);
    if (target['x-kubernetes-int-or-string'] === true) return this.#pick([0, 1, 80, '25%', 'http', -1, '']);
    switch (target.type) {
      case 'string': return this.#pick(target.format === 'quantity' ? ['1', '100m', '1Gi', '-1', '1e3', 'x'] : target.format === 'date-time' ? ['2026-01-01T00:00:00Z', 'now', ''] : ['a', 'b', 'web', '', 'Always', 'TCP', '10.0.0.1', '/x', 'a.b/c', 'x'.repeat(70), '💥']);
      case 'integer': return this.#pick([0, 1, 2, 80, -1, 65_536, 2 ** 31 - 1, 2 ** 31, 1.5]);
      case 'number': return this.#pick([0, 1.5, -1]);
      case 'boolean': return this.#chance(0.5);
      case 'array': return depth > 7 ? [] : Array.from({ length: Math.floor(this.#random() * 3) }, () => this.#value(target.items ?? {}, depth + 1));
      default: return this.#record(target, depth);
    }
  }

  #record(schema: Schema, depth: number): unknown {
    const record: Record<string, unknown> = {};
    const rare = depth > 0 ? 0.08 : 0.6;
    for (const [key, property] of Object.entries(schema.properties ?? {})) {
      if (key !== 'status' && depth < 8 && this.#chance(schema.required?.includes(key) ? 0.95 : rare)) record[key] = this.#value(property, depth + 1);
    }
    if (typeof schema.additionalProperties === 'object' && depth < 8) for (const key of ['a', 'b', this.#pick(oddKeys)]) if (this.#chance(0.4) && key !== '__proto__') record[key] = this.#value(schema.additionalProperties, depth + 1);
    return record;
  }
}
