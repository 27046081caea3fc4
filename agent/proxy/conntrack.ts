import type { ServicePort } from './types.ts';

/** One UDP flow of the kernel's connection table: as the client sent it, and who answers. */
export interface Flow {
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
  readonly replySource: string;
}

/** Reads the output of `conntrack -L -p udp`; lines of another shape are skipped. */
export function parseFlows(text: string): Flow[] {
  return text.split('\n').flatMap((line) => {
    const values = (name: string): string[] => [...line.matchAll(new RegExp(`\\b${name}=(\\S+)`, 'g'))].map((m) => m[1] ?? '');
    const [source, replySource] = values('src');
    const [destination] = values('dst');
    const [sourcePort] = values('sport');
    const [destinationPort] = values('dport');
    if (!line.startsWith('udp') || !source || !replySource || !destination || !sourcePort || !destinationPort) return [];
    return [{ source, replySource, destination, sourcePort: Number(sourcePort), destinationPort: Number(destinationPort) }];
  });
}

/**
 * Flows to a Service whose answering endpoint is no longer one of its endpoints. UDP has no connection to break, so a
 * client that keeps sending would be led to a pod that has gone for as long as it sends.
 */
export function staleFlows(flows: readonly Flow[], ports: readonly ServicePort[]): Flow[] {
  const udp = ports.filter((p) => p.protocol === 'UDP');
  const byAddress = new Map<string, ServicePort>();
  const byNodePort = new Map<number, ServicePort>();
  for (const port of udp) {
    for (const ip of [...port.clusterIps, ...port.externalIps, ...port.loadBalancerIps]) byAddress.set(`${ip} ${String(port.port)}`, port);
    if (port.nodePort > 0) byNodePort.set(port.nodePort, port);
  }
  return flows.filter((flow) => {
    const port = byAddress.get(`${flow.destination} ${String(flow.destinationPort)}`);
    // A node port of another host looks like one of ours, but is not translated here.
    const nodePort = flow.replySource === flow.destination ? undefined : byNodePort.get(flow.destinationPort);
    const owner = port ?? nodePort;
    return owner !== undefined && ![...owner.endpoints, ...owner.localEndpoints].some((e) => e.ip === flow.replySource);
  });
}
