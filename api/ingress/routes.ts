import type { EndpointSlice, HTTPIngressPath, Ingress, IngressBackend, Service, ServicePort } from '../gen/types.ts';
import { isIP } from '../meta/ip.ts';
import { keyOf } from '../meta/object.ts';
import { redirectAnnotation } from './ingress.ts';

/** The objects that Ingresses speak of. */
export interface IngressObjects {
  /** Those that are to be served, in any order. */
  readonly ingresses: readonly Ingress[];
  service(namespace: string, name: string): Service | undefined;
  slices(namespace: string, serviceName: string): readonly EndpointSlice[];
  /** Why there is no certificate in that Secret, with the remedy; undefined when there is one. */
  certificateProblem(namespace: string, secretName: string): string | undefined;
}

export interface Endpoint {
  readonly ip: string;
  readonly port: number;
}

/** One port of one Service; two of them where only some Ingresses that lead to it redirect to HTTPS. */
export interface RouteBackend {
  /** `namespace:service:port`, and `:https` for one that is `httpsOnly`; unique, of letters, digits, `-`, `.` and `:`. */
  readonly name: string;
  /** What its endpoints speak, as the port's appProtocol says. */
  readonly protocol: 'http' | 'h2c' | 'https';
  /** Each client stays with one endpoint. */
  readonly sticky: boolean;
  /** Requests in the clear are not served but redirected. */
  readonly httpsOnly: boolean;
  /** Who gets requests, sorted; those that are ready or, when none is, still serving while they end. None: the request is answered with 503. */
  readonly endpoints: readonly Endpoint[];
}

export interface RouteCertificate {
  readonly namespace: string;
  readonly secretName: string;
  /** Names of server name indication that get it; none for those that it is made out to, and for whoever names nobody else. */
  readonly hosts: readonly string[];
}

/** What cannot be honoured, and how to mend it: an Event. */
export interface RouteProblem {
  readonly ingress: Ingress;
  readonly reason: string;
  readonly message: string;
}

/**
 * What a proxy needs to know, the values being names of `backends`. Hosts are lower case: `example.com`, `*.example.com`
 * for exactly one label more, or empty for every host. A request goes by the first of these that has an entry for it: its
 * host, its host's wildcard, every host; for each of them first `exact`, by host and path, then the longest of `prefix`;
 * then `hostDefaults` of its host or wildcard, then `fallback`; else it is answered with 404.
 */
export interface Routes {
  readonly exact: ReadonlyMap<string, string>;
  /** By host and path without its last slash, plus one: `example.com/a/` is for /a and all below it, as /a/b, not for /ab. */
  readonly prefix: ReadonlyMap<string, string>;
  readonly hostDefaults: ReadonlyMap<string, string>;
  readonly fallback: string | undefined;
  readonly backends: readonly RouteBackend[];
  /** The default one, where there is one, first. */
  readonly certificates: readonly RouteCertificate[];
  readonly problems: readonly RouteProblem[];
}

const serviceNameLabel = 'kubernetes.io/service-name';
const protocols: Readonly<Record<string, RouteBackend['protocol']>> = { 'kubernetes.io/h2c': 'h2c', h2c: 'h2c', grpc: 'h2c', https: 'https' };
/** Space and what is no visible character would end an entry of the proxy's; no request has them in its path. */
const badPath = /[^\u0021-\u007e]/;
const looksLikePattern = /[*^$|()[\]\\]/;

/** By which slices are found. */
export function serviceOfSlice({ metadata }: EndpointSlice): string | undefined {
  return metadata?.labels?.[serviceNameLabel];
}

/**
 * What Ingresses ask for, together. Of two that ask for the same the older one gets it; the other is told.
 * Source: https://kubernetes.io/docs/concepts/services-networking/ingress/
 */
export function routesOf(objects: IngressObjects): Routes {
  const builder = new RouteBuilder(objects);
  for (const ingress of objects.ingresses.toSorted(byAge)) builder.add(ingress);
  return builder.routes();
}

function byAge(a: Ingress, b: Ingress): number {
  const [first, second] = [a.metadata?.creationTimestamp ?? '', b.metadata?.creationTimestamp ?? ''];
  if (first !== second) return first < second ? -1 : 1;
  return keyOf(a) < keyOf(b) ? -1 : 1;
}

class RouteBuilder {
  readonly #objects: IngressObjects;
  readonly #exact = new Map<string, string>();
  readonly #prefix = new Map<string, string>();
  readonly #hostDefaults = new Map<string, string>();
  #fallback: string | undefined;
  /** That redirect to HTTPS. */
  readonly #redirecting = new Set<Ingress>();
  readonly #backends = new Map<string, RouteBackend>();
  readonly #certificates = new Map<string, { namespace: string; secretName: string; hosts: string[] }>();
  readonly #certifiedHosts = new Map<string, string>();
  readonly #problems: RouteProblem[] = [];
  /** By what is asked for, who got it. */
  readonly #owners = new Map<string, Ingress>();

  constructor(objects: IngressObjects) {
    this.#objects = objects;
  }

  routes(): Routes {
    for (const ingress of this.#redirecting) this.#checkRedirect(ingress);
    const certificates = [...this.#certificates.values()].sort((a, b) => Number(a.hosts.length > 0) - Number(b.hosts.length > 0));
    return {
      exact: this.#exact, prefix: this.#prefix, hostDefaults: this.#hostDefaults, fallback: this.#fallback,
      backends: [...this.#backends.values()].sort((a, b) => (a.name < b.name ? -1 : 1)), certificates, problems: this.#problems,
    };
  }

  add(ingress: Ingress): void {
    const { rules = [], defaultBackend } = ingress.spec ?? {};
    if (this.#redirects(ingress)) this.#redirecting.add(ingress);
    const ownDefault = defaultBackend && this.#backend(ingress, defaultBackend);
    for (const { host = '', http } of rules) {
      const name = host.toLowerCase();
      for (const path of http?.paths ?? []) this.#path(ingress, name, path);
      // A rule without paths leaves all of its host's requests to the default.
      if (ownDefault !== undefined && name !== '' && !this.#hostDefaults.has(name)) this.#hostDefaults.set(name, ownDefault);
    }
    this.#fallback ??= ownDefault;
    this.#tls(ingress);
  }

  #redirects(ingress: Ingress): boolean {
    const wish = ingress.metadata?.annotations?.[redirectAnnotation];
    if (wish !== undefined && wish !== 'true' && wish !== 'false') this.#problem(ingress, 'BadAnnotation', `${redirectAnnotation} is "${wish}"; it is "true" to send whoever asks in the clear to HTTPS, or "false", which is how it is served now`);
    return wish === 'true';
  }

  /** It redirects all the same: what is meant for HTTPS is not to be sent in the clear for want of a certificate. */
  #checkRedirect(ingress: Ingress): void {
    if ([...this.#certificates.values()].some(({ hosts }) => hosts.length === 0)) return;
    const hosts = [...new Set((ingress.spec?.rules ?? [{ host: undefined }]).map(({ host }) => host?.toLowerCase() ?? ''))];
    const bare = hosts.filter((host) => !this.#certifiedHosts.has(host) && !this.#certifiedHosts.has(host.replace(/^[^.]+/, '*')));
    if (bare.length > 0) this.#problem(ingress, 'NoCertificate', `requests in the clear for ${bare.map((host) => host || 'every host').join(', ')} are redirected to HTTPS, where there is no certificate for them; name the host and a Secret in spec.tls, or remove the annotation ${redirectAnnotation}`);
  }

  #path(ingress: Ingress, host: string, { path: written, pathType, backend }: HTTPIngressPath): void {
    const path = written || '/';
    if (!path.startsWith('/') || badPath.test(path)) {
      this.#problem(ingress, 'BadPath', `the path "${path}" of ${host || 'every host'} is not served: no request has it; write what requests hold, in visible characters, others as %XX`);
      return;
    }
    if (pathType !== 'Exact' && looksLikePattern.test(path)) this.#problem(ingress, 'BadPath', `the path "${path}" of ${host || 'every host'} looks like a pattern, which is not supported: it stands for itself and what is below it`);
    const name = this.#backend(ingress, backend);
    if (name === undefined) return;
    const [routes, key] = pathType === 'Exact' ? [this.#exact, host + path] : [this.#prefix, `${host}${path.replace(/\/+$/, '')}/`];
    if (this.#claim(ingress, `${pathType === 'Exact' ? 'Exact' : 'Prefix'} path ${path} of ${host || 'every host'}`, `${String(routes === this.#exact)} ${key}`)) routes.set(key, name);
  }

  #claim(ingress: Ingress, what: string, key: string): boolean {
    const owner = this.#owners.get(key);
    if (owner === undefined) this.#owners.set(key, ingress);
    else this.#problem(ingress, 'Conflict', `${what} is ${owner === ingress ? 'given twice; the first counts' : `served by the older Ingress ${keyOf(owner)}; change one of them`}`);
    return owner === undefined;
  }

  /** The backend's name; undefined for what is no Service at all. One without a Service, or port, has no endpoints. */
  #backend(ingress: Ingress, { service: wanted, resource }: IngressBackend): string | undefined {
    const namespace = ingress.metadata?.namespace ?? '';
    if (wanted === undefined) {
      this.#problem(ingress, 'UnsupportedBackend', `a backend is ${resource ? `the resource ${resource.kind} ${resource.name}` : 'empty'}; only Services are supported`);
      return undefined;
    }
    const portText = wanted.port?.name || String(wanted.port?.number ?? '');
    const httpsOnly = this.#redirecting.has(ingress);
    const name = `${namespace}:${wanted.name}:${portText}${httpsOnly ? ':https' : ''}`;
    const service = this.#objects.service(namespace, wanted.name);
    const port = service?.spec?.ports?.find((one) => (wanted.port?.name ? one.name === wanted.port.name : one.port === wanted.port?.number));
    if (!service) this.#problem(ingress, 'ServiceNotFound', `Service ${namespace}/${wanted.name} does not exist; requests for it are answered with 503 until it does`);
    else if (service.spec?.type === 'ExternalName') this.#problem(ingress, 'UnsupportedBackend', `Service ${namespace}/${wanted.name} is an ExternalName, which is not supported; requests for it are answered with 503`);
    else if (!port) this.#problem(ingress, 'PortNotFound', `Service ${namespace}/${wanted.name} has no port ${portText}; requests for it are answered with 503 until it has`);
    if (this.#backends.has(name)) return name;
    const endpoints = service && port && service.spec?.type !== 'ExternalName' ? endpointsOf(service, port, this.#objects.slices(namespace, wanted.name)) : [];
    this.#backends.set(name, { name, protocol: protocols[port?.appProtocol?.toLowerCase() ?? ''] ?? 'http', sticky: service?.spec?.sessionAffinity === 'ClientIP', httpsOnly, endpoints });
    return name;
  }

  #tls(ingress: Ingress): void {
    const namespace = ingress.metadata?.namespace ?? '';
    for (const { hosts = [], secretName = '' } of ingress.spec?.tls ?? []) {
      const problem = secretName === '' ? 'no secretName is given' : this.#objects.certificateProblem(namespace, secretName);
      if (problem !== undefined) {
        this.#problem(ingress, 'NoCertificate', `TLS for ${hosts.join(', ') || 'this Ingress'} is not served: ${problem}`);
        continue;
      }
      const key = `${namespace}/${secretName}`;
      const names = hosts.map((host) => host.toLowerCase()).filter((host) => {
        const other = this.#certifiedHosts.get(host);
        if (other === undefined) this.#certifiedHosts.set(host, key);
        else if (other !== key) this.#problem(ingress, 'Conflict', `TLS for ${host} is served with the certificate of Secret ${other}, which an older Ingress names; change one of them`);
        return other === undefined;
      });
      if (hosts.length > 0 && names.length === 0) continue;
      // Named once without hosts, it is for all that it is made out to.
      const id = names.length === 0 ? `${key} default` : key;
      const present = this.#certificates.get(id);
      if (present) present.hosts.push(...names);
      else this.#certificates.set(id, { namespace, secretName, hosts: names });
    }
  }

  #problem(ingress: Ingress, reason: string, message: string): void {
    if (!this.#problems.some((one) => one.ingress === ingress && one.message === message)) this.#problems.push({ ingress, reason, message });
  }
}

/** Of the Service's first family, so that an endpoint that has addresses of both is one. */
function endpointsOf({ spec }: Service, { name = '' }: ServicePort, slices: readonly EndpointSlice[]): Endpoint[] {
  const family = spec?.ipFamilies?.[0] ?? slices.find(({ addressType }) => addressType !== 'FQDN')?.addressType;
  const [ready, ending] = [new Map<string, Endpoint>(), new Map<string, Endpoint>()];
  for (const slice of slices) {
    const port = slice.ports?.find((one) => (one.name ?? '') === name)?.port;
    if (port === undefined || slice.addressType !== family) continue;
    for (const { addresses, conditions } of slice.endpoints ?? []) {
      const isReady = conditions?.ready ?? true;
      const into = isReady ? ready : (conditions?.serving ?? isReady) && conditions?.terminating === true ? ending : undefined;
      for (const ip of addresses.slice(0, 1).filter(isIP)) into?.set(`${ip} ${String(port)}`, { ip, port });
    }
  }
  const chosen = ready.size > 0 ? ready : ending;
  return [...chosen].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, endpoint]) => endpoint);
}
