import type { Service } from '#api/gen/types.ts';
import type { RestClient } from '../client.ts';
import type { Io } from '../types.ts';

const green = '\x1b[0;32m';
const yellow = '\x1b[0;33m';
const plain = '\x1b[0m';

/** Prints the addresses of the control plane and of the Services that call themselves the cluster's. */
export async function showCluster(client: RestClient, namespace: string, io: Io): Promise<void> {
  const { server } = client.connection;
  const coloured = io.terminal && io.env['NO_COLOR'] === undefined;
  const say = (name: string, link: string): void => { io.out(coloured ? `${green}${name}${plain} is running at ${yellow}${link}${plain}\n` : `${name} is running at ${link}\n`); };
  try {
    const { items } = await client.json<{ items: readonly Service[] }>('GET', `/api/v1/namespaces/${encodeURIComponent(namespace)}/services?labelSelector=${encodeURIComponent('kubernetes.io/cluster-service=true')}`);
    say('Kubernetes control plane', server);
    for (const service of items) say(service.metadata?.labels?.['kubernetes.io/name'] || (service.metadata?.name ?? ''), linkTo(service, server));
  } finally {
    io.out("\nTo further debug and diagnose cluster problems, use 'cleat cluster-info dump'.\n");
  }
}

function linkTo({ metadata, spec, status }: Service, server: string): string {
  const [balancer] = status?.loadBalancer?.ingress ?? [];
  if (balancer) return (spec?.ports ?? []).map(({ port }) => `http://${balancer.ip || (balancer.hostname ?? '')}:${String(port)} `).join('');
  const [port] = spec?.ports ?? [];
  const scheme = port !== undefined && (port.name === 'https' || port.port === 443) ? 'https' : '';
  const name = metadata?.name ?? '';
  // <scheme>:<name>:<name of the port>, as the API's proxy has it.
  const target = scheme !== '' ? `${scheme}:${name}:${port?.name ?? ''}` : port?.name ? `${name}:${port.name}` : name;
  return `${server}/api/v1/namespaces/${metadata?.namespace ?? ''}/services/${target}/proxy`;
}
