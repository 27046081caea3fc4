import { nodes, pods } from '#api/kinds/resources.ts';
import type { Pod } from '#api/gen/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { rfc3339 } from '#common/time.ts';
import { StatusError } from '#common/errors.ts';
import { methodNotAllowed, noSuchPath, notFound } from '../api-errors.ts';
import { parseBytes } from '../encoding.ts';
import { objectForm } from '../http/accept.ts';
import { json, type Reply } from '../http/reply.ts';
import { parseListOptions } from '../list-options.ts';
import { listPage } from '../resource-lists.ts';
import type { NodeUsage, Usage } from '../types.ts';
import type { ResourceCall, RouteDeps } from './types.ts';

const group = { group: 'metrics.k8s.io', version: 'v1beta1' };
const keepMs = 5000;
const timeoutMs = 5000;

interface Cached { readonly atMs: number; readonly usage: Promise<NodeUsage> }

/** metrics.k8s.io: what `kubectl top` reads. Nodes are asked when someone looks, at most every few seconds. */
export class UsageMetrics {
  readonly #deps: RouteDeps;
  readonly #cache = new Map<string, Cached>();

  constructor(deps: RouteDeps) {
    this.#deps = deps;
  }

  async serve(call: ResourceCall): Promise<Reply> {
    const { plural, subresource, namespace, name } = call.path;
    if (call.path.version !== group.version || subresource !== undefined || (plural !== 'nodes' && plural !== 'pods')) throw noSuchPath();
    const named = { group: group.group, plural, kind: plural === 'nodes' ? 'NodeMetrics' : 'PodMetrics' };
    if (call.verb !== 'get' && call.verb !== 'list') throw methodNotAllowed(named, call.verb);
    objectForm(call.request, call.path.name === undefined ? 'list' : 'item');
    const items = plural === 'nodes' ? await this.#nodes(call) : await this.#pods(call, namespace);
    if (name === undefined) return json({ kind: `${named.kind}List`, apiVersion: 'metrics.k8s.io/v1beta1', metadata: {}, items });
    const [item] = items;
    if (!item) throw notFound(named, name);
    return json(item);
  }

  async #nodes({ path, request }: ResourceCall): Promise<unknown[]> {
    const objects = await this.#objects(nodes, undefined, path.name, request.query);
    const usages = await this.#usages(objects.map((node) => node.metadata?.name ?? ''), request.signal);
    return objects.flatMap((node) => {
      const usage = usages.get(node.metadata?.name ?? '');
      return usage ? [{ kind: 'NodeMetrics', ...head(node, usage), usage: quantities(usage.node) }] : [];
    });
  }

  /** Pods of which no container runs are left out, as with metrics-server. */
  async #pods({ path, request }: ResourceCall, namespace: string | undefined): Promise<unknown[]> {
    const objects = (await this.#objects(pods, namespace, path.name, request.query)) as Pod[];
    const names = new Set(objects.flatMap((pod) => (pod.spec?.nodeName ? [pod.spec.nodeName] : [])));
    const usages = await this.#usages([...names], request.signal);
    return objects.flatMap((pod) => {
      const node = usages.get(pod.spec?.nodeName ?? '');
      const used = node?.pods.find((one) => one.uid === pod.metadata?.uid);
      return node && used && used.containers.length > 0 ? [{ kind: 'PodMetrics', ...head(pod, node), containers: used.containers.map((container) => ({ name: container.name, usage: quantities(container) })) }] : [];
    });
  }

  async #objects(resource: typeof nodes | typeof pods, namespace: string | undefined, name: string | undefined, query: URLSearchParams): Promise<KubeObject[]> {
    const kind = this.#deps.kinds.of(resource);
    if (name !== undefined) return [parseBytes((await this.#deps.resources.entry(kind, namespace, name)).value)];
    const { labelSelector, fieldSelector } = parseListOptions(query);
    const page = await listPage(this.#deps.store, kind, namespace, { labelSelector, fieldSelector });
    return page.entries.map((entry) => parseBytes(entry.value));
  }

  /** Nodes that do not answer are left out, as with metrics-server. */
  async #usages(names: readonly string[], signal: AbortSignal): Promise<Map<string, NodeUsage>> {
    const answers = await Promise.allSettled(names.map((name) => this.#usage(name)));
    signal.throwIfAborted();
    return new Map(answers.flatMap((answer, i) => (answer.status === 'fulfilled' ? [[names[i] ?? '', answer.value] as const] : [])));
  }

  #usage(node: string): Promise<NodeUsage> {
    const now = this.#deps.clock.monotonic();
    for (const [name, { atMs }] of this.#cache) if (now - atMs > keepMs) this.#cache.delete(name);
    let cached = this.#cache.get(node);
    if (!cached) {
      const { nodes: gateway } = this.#deps;
      // Shared by all who ask meanwhile, so no single client's signal ends it.
      const usage = gateway ? gateway.usage(node, AbortSignal.timeout(timeoutMs)) : Promise.reject(new StatusError('ServiceUnavailable', 'no agents connect here'));
      this.#cache.set(node, cached = { atMs: now, usage });
    }
    return cached.usage;
  }
}

function head(object: KubeObject, usage: NodeUsage): Record<string, unknown> {
  const { name, namespace, labels } = object.metadata ?? {};
  const timestamp = rfc3339(usage.atMs);
  return {
    apiVersion: 'metrics.k8s.io/v1beta1', metadata: { name, namespace, labels, creationTimestamp: timestamp },
    timestamp, window: `${String(Math.round(usage.windowMs / 100) / 10)}s`,
  };
}

function quantities({ cpuMillis, memoryBytes }: Usage): { cpu: string; memory: string } {
  return { cpu: `${String(Math.round(cpuMillis * 1e6))}n`, memory: `${String(Math.round(memoryBytes / 1024))}Ki` };
}
