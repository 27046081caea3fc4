import type { Service } from '#api/gen/types.ts';

/** The variables that Kubernetes gives for each Service of the namespace, and for the API server's. */
export function serviceEnv(services: readonly Service[], namespace: string, enableServiceLinks: boolean): Map<string, string> {
  const env = new Map<string, string>();
  // By name: one of the namespace goes before the API server's.
  const shown = new Map<string, { readonly service: Service; readonly ip: string }>();
  for (const service of services) {
    const { name = '', namespace: of } = service.metadata ?? {};
    const isApi = of === 'default' && name === 'kubernetes';
    const ip = service.spec?.clusterIP;
    if (ip === undefined || ip === '' || ip === 'None') continue;
    if (isApi ? !shown.has(name) : enableServiceLinks && of === namespace) shown.set(name, { service, ip });
  }
  for (const { service, ip } of shown.values()) addService(env, service, ip);
  return env;
}

function addService(env: Map<string, string>, service: Service, ip: string): void {
  const prefix = variable(service.metadata?.name ?? '');
  const ports = service.spec?.ports ?? [];
  const [first] = ports;
  if (!first) return;
  env.set(`${prefix}_SERVICE_HOST`, ip);
  env.set(`${prefix}_SERVICE_PORT`, String(first.port));
  for (const port of ports) if (port.name) env.set(`${prefix}_SERVICE_PORT_${variable(port.name)}`, String(port.port));
  const url = (port: typeof first): string => `${(port.protocol ?? 'TCP').toLowerCase()}://${ip.includes(':') ? `[${ip}]` : ip}:${String(port.port)}`;
  env.set(`${prefix}_PORT`, url(first));
  for (const port of ports) {
    const protocol = port.protocol ?? 'TCP';
    const portPrefix = `${prefix}_PORT_${String(port.port)}_${protocol}`;
    env.set(portPrefix, url(port));
    env.set(`${portPrefix}_PROTO`, protocol.toLowerCase());
    env.set(`${portPrefix}_PORT`, String(port.port));
    env.set(`${portPrefix}_ADDR`, ip);
  }
}

function variable(name: string): string {
  return name.replaceAll('-', '_').toUpperCase();
}
