import type { Endpoint, RouteBackend, RouteCertificate, Routes } from '#api/ingress/routes.ts';

export interface ProxySettings {
  readonly httpPort: number;
  readonly httpsPort: number;
  /** The host has IPv6. */
  readonly ipv6: boolean;
  readonly threads: number;
  /** Where its commands are taken. */
  readonly socket: string;
  /** An empty folder that workers see as the root. */
  readonly chroot: string;
}

export function certificateFile({ namespace, secretName }: Pick<RouteCertificate, 'namespace' | 'secretName'>): string {
  return `${namespace}_${secretName}.pem`;
}

/** The proxy's files by name, certificates aside. `version` can be asked for at its socket. */
export function proxyFiles(routes: Routes, settings: ProxySettings, version: string): Record<string, string> {
  return {
    'haproxy.cfg': [...globalLines(settings, version), ...frontendLines(routes, settings), ...routes.backends.flatMap((one) => backendLines(one, settings))].join('\n') + '\n',
    'exact.map': mapText(routes.exact),
    'prefix.map': mapText(routes.prefix),
    'defaults.map': mapText(routes.hostDefaults),
    'certificates.list': routes.certificates.map((one) => [certificateFile(one), ...one.hosts].join(' ') + '\n').join(''),
  };
}

/** A server's name says its address, so that no connection to one is ever taken for one to another. */
export function serverName({ ip, port }: Endpoint): string {
  return `${ip.replaceAll(':', '-')}_${String(port)}`;
}

/** What lets a running proxy send requests to an endpoint that it does not know. */
export function additionOf(backend: RouteBackend, endpoint: Endpoint): string[] {
  const name = `${backend.name}/${serverName(endpoint)}`;
  return [`add server ${name} ${addressOf(endpoint)}${serverOptions[backend.protocol]}`, `set server ${name} state ready`];
}

const serverOptions = { http: '', h2c: ' proto h2', https: ' ssl verify none alpn h2,http/1.1' } as const;

function mapText(map: ReadonlyMap<string, string>): string {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => `${key} ${value}\n`).join('');
}

function globalLines({ threads, socket, chroot }: ProxySettings, version: string): string[] {
  return [
    'global', `  description ${version}`, `  stats socket ${socket} mode 600 level admin expose-fd listeners`,
    '  user haproxy', '  group haproxy', `  chroot ${chroot}`, `  nbthread ${String(threads)}`,
    // A number of our own: by default it grows, and with it the memory, with the host's limit of open files.
    '  maxconn 4000', '  no strict-limits', '  tune.ssl.cachesize 2000', '  tune.ssl.default-dh-param 2048', '  ssl-default-bind-options ssl-min-ver TLSv1.2',
    '  ssl-server-verify none',
    // Old workers end with their last connection, or then.
    '  hard-stop-after 30m',
    'defaults', '  mode http', '  balance random', '  option forwardfor', '  option http-keep-alive',
    // Without this a client that keeps its connection could see it closed just as it sends the next request.
    '  option idle-close-on-response',
    '  option redispatch 1', '  retries 3', '  retry-on conn-failure empty-response',
    '  timeout connect 2s', '  timeout http-request 15s', '  timeout http-keep-alive 60s', '  timeout client 5m', '  timeout server 5m', '  timeout tunnel 1h', '  timeout client-fin 30s',
  ];
}

function frontendLines(routes: Routes, { httpPort, httpsPort, ipv6 }: ProxySettings): string[] {
  const addresses = ipv6 ? [['0.0.0.0', ''], ['[::]', ' v6only']] : [['0.0.0.0', '']];
  // Who asks for a name that there is no certificate for is refused, unless there is one for everybody.
  const strict = routes.certificates[0]?.hosts.length === 0 ? '' : ' strict-sni';
  const binds = addresses.flatMap(([address = '', options = '']) => [
    `  bind ${address}:${String(httpPort)}${options}`,
    ...(routes.certificates.length > 0 ? [`  bind ${address}:${String(httpsPort)}${options} ssl crt-list certificates.list${strict} alpn h2,http/1.1`] : []),
  ]);
  const unset = 'if !{ var(txn.backend) -m found }';
  const look = (start: string): string[] => [
    `  http-request set-var(txn.backend) var(${start}),concat(,txn.path),map_str(exact.map) ${unset}`,
    `  http-request set-var(txn.backend) var(${start}),concat(,txn.path,/),map_beg(prefix.map) ${unset}`,
  ];
  return [
    'frontend ingress', ...binds,
    '  http-request del-header X-Forwarded-For', '  http-request set-header X-Real-IP %[src]', '  http-request set-header X-Forwarded-Host %[req.hdr(host)]',
    '  http-request set-header X-Forwarded-Port %[dst_port]', '  http-request set-header X-Forwarded-Proto https if { ssl_fc }', '  http-request set-header X-Forwarded-Proto http if !{ ssl_fc }',
    '  http-request set-var(txn.path) path', '  http-request set-var(txn.host) req.hdr(host),field(1,:),lower,rtrim(.)', '  http-request set-var(txn.wildcard) var(txn.host),regsub(^[^.]+,*)',
    ...look('txn.host'), ...look('txn.wildcard'),
    `  http-request set-var(txn.backend) path,map_str(exact.map) ${unset}`,
    `  http-request set-var(txn.backend) path,concat(/),map_beg(prefix.map) ${unset}`,
    `  http-request set-var(txn.backend) var(txn.host),map_str(defaults.map) ${unset}`,
    `  http-request set-var(txn.backend) var(txn.wildcard),map_str(defaults.map) ${unset}`,
    ...(routes.fallback === undefined ? [`  http-request return status 404 content-type text/plain string "no Ingress has a rule for this host and path" ${unset}`] : []),
    // What changes something is not sent twice.
    '  http-request disable-l7-retry if !{ method GET HEAD OPTIONS }',
    '  use_backend %[var(txn.backend)] if { var(txn.backend) -m found }',
    ...(routes.fallback === undefined ? [] : [`  default_backend ${routes.fallback}`]),
  ];
}

function backendLines({ name, protocol, sticky, httpsOnly, endpoints }: RouteBackend, { httpsPort }: ProxySettings): string[] {
  return [
    `backend ${name}`, ...(sticky ? ['  balance source', '  hash-type consistent'] : []),
    // The method is kept. The port that was asked is not: HTTPS has another.
    ...(httpsOnly ? [`  http-request redirect location https://%[req.hdr(host),regsub(:[0-9]*$,)]${httpsPort === 443 ? '' : `:${String(httpsPort)}`}%[pathq] code 308 if !{ ssl_fc }`] : []),
    ...endpoints.map((one) => `  server ${serverName(one)} ${addressOf(one)}${serverOptions[protocol]}`),
  ];
}

function addressOf({ ip, port }: Endpoint): string {
  return ip.includes(':') ? `ipv6@[${ip}]:${String(port)}` : `${ip}:${String(port)}`;
}
