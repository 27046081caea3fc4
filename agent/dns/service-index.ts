import type { Endpoint, EndpointSlice, Service } from '#api/gen/types.ts';
import { endpointSlices, qualifiedName, services } from '#api/kinds/resources.ts';
import { keyOf, objectKey, type KubeObject } from '#api/meta/object.ts';
import { asSeenHere, localPodsOf, type LocalPod } from '#agent/proxy/local-pods.ts';
import type { PodReport } from '#agent/session/types.ts';
import type { StateChange } from '#agent/state/types.ts';

const serviceNameLabel = 'kubernetes.io/service-name';

/** One endpoint of a headless Service that is to be found by name. */
export interface NamedEndpoint {
  readonly hostname: string;
  readonly ip: string;
  readonly ports: EndpointSlice['ports'];
}

/** What names stand for: Services and endpoints as this node knows them. A change costs what it touches. */
export class ServiceIndex {
  readonly #nodeName: string;
  readonly #services = new Map<string, Service>();
  readonly #namespaces = new Map<string, number>();
  readonly #slices = new Map<string, Map<string, EndpointSlice>>();
  readonly #serviceOfSlice = new Map<string, string>();
  readonly #localPods = new Map<string, LocalPod>();
  #pointers: Map<string, string[]> | undefined;
  #generation = 0;

  constructor(nodeName: string) {
    this.#nodeName = nodeName;
  }

  /** Grows with every change that may alter an answer. */
  get generation(): number { return this.#generation; }

  note(changes: readonly StateChange[]): void {
    for (const change of changes) {
      const name = qualifiedName(change.resource);
      const key = change.type === 'set' ? keyOf(change.object) : objectKey(change.namespace, change.name);
      if (name === qualifiedName(services)) this.#noteService(key, change.type === 'set' ? change.object : undefined);
      else if (name === qualifiedName(endpointSlices)) this.#noteSlice(key, change.type === 'set' ? change.object as EndpointSlice : undefined);
      else continue;
      this.#changed();
    }
  }

  notePod(report: PodReport): void {
    const known = this.#localPods.get(report.uid);
    const [pod] = localPodsOf([report]).values();
    if (report.gone || !pod) this.#localPods.delete(report.uid);
    else this.#localPods.set(report.uid, pod);
    if (JSON.stringify(known) !== JSON.stringify(this.#localPods.get(report.uid))) this.#changed();
  }

  service(namespace: string, name: string): Service | undefined {
    return this.#services.get(objectKey(namespace, name));
  }

  hasNamespace(namespace: string): boolean {
    return this.#namespaces.has(namespace);
  }

  /** The ready endpoints of a headless Service, each under its host name or its address with dashes. */
  endpoints(service: Service): NamedEndpoint[] {
    const found = new Map<string, NamedEndpoint>();
    for (const slice of this.#slices.get(keyOf(service))?.values() ?? []) {
      if (slice.addressType !== 'IPv4' && slice.addressType !== 'IPv6') continue;
      for (const endpoint of (slice.endpoints ?? []).flatMap((e) => this.#seen(e, slice, service))) {
        const ip = endpoint.addresses[0];
        if (ip === undefined || endpoint.conditions?.ready === false) continue;
        const hostname = endpoint.hostname ?? dashed(ip);
        const key = `${hostname} ${ip}`;
        found.set(key, { hostname, ip, ports: [...found.get(key)?.ports ?? [], ...slice.ports ?? []] });
      }
    }
    return [...found.values()];
  }

  /** The names below the cluster's domain that an address has, `web.default.svc` or `host.web.default.svc`. */
  namesOf(ip: string): readonly string[] {
    this.#pointers ??= this.#collectPointers();
    return this.#pointers.get(ip) ?? [];
  }

  #seen(endpoint: Endpoint, slice: EndpointSlice, service: Service): Endpoint[] {
    return endpoint.nodeName === this.#nodeName ? asSeenHere(endpoint, slice.addressType, this.#localPods, service.spec?.publishNotReadyAddresses === true) : [endpoint];
  }

  #collectPointers(): Map<string, string[]> {
    const pointers = new Map<string, string[]>();
    const add = (ip: string, name: string): void => { pointers.set(ip, [...pointers.get(ip) ?? [], name]); };
    for (const service of this.#services.values()) {
      const base = `${service.metadata?.name ?? ''}.${service.metadata?.namespace ?? ''}.svc`;
      if (isHeadless(service)) for (const { hostname, ip } of this.endpoints(service)) add(ip, `${hostname}.${base}`);
      else for (const ip of clusterIpsOf(service)) add(ip, base);
    }
    return pointers;
  }

  #changed(): void {
    this.#generation++;
    this.#pointers = undefined;
  }

  #noteService(key: string, service: KubeObject | undefined): void {
    const before = this.#services.get(key);
    if (service) this.#services.set(key, service as Service);
    else this.#services.delete(key);
    const namespace = (service ?? before)?.metadata?.namespace ?? '';
    const count = (this.#namespaces.get(namespace) ?? 0) + (service ? 1 : 0) - (before ? 1 : 0);
    if (count > 0) this.#namespaces.set(namespace, count);
    else this.#namespaces.delete(namespace);
  }

  #noteSlice(key: string, slice: EndpointSlice | undefined): void {
    const before = this.#serviceOfSlice.get(key);
    if (before !== undefined) {
      const slices = this.#slices.get(before);
      slices?.delete(key);
      if (slices?.size === 0) this.#slices.delete(before);
      this.#serviceOfSlice.delete(key);
    }
    const name = slice?.metadata?.labels?.[serviceNameLabel];
    if (!slice || name === undefined) return;
    const owner = objectKey(slice.metadata?.namespace, name);
    this.#slices.set(owner, (this.#slices.get(owner) ?? new Map<string, EndpointSlice>()).set(key, slice));
    this.#serviceOfSlice.set(key, owner);
  }
}

export function isHeadless(service: Service): boolean {
  return service.spec?.type !== 'ExternalName' && service.spec?.clusterIP === 'None';
}

export function clusterIpsOf({ spec }: Service): string[] {
  if (spec?.type === 'ExternalName') return [];
  return (spec?.clusterIPs ?? [spec?.clusterIP ?? '']).filter((ip) => ip !== '' && ip !== 'None');
}

/** `10.42.0.5` as `10-42-0-5`: how a pod without a host name is called. */
export function dashed(ip: string): string {
  return ip.replaceAll(/[.:]/g, '-');
}
