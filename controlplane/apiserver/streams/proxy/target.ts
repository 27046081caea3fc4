import type { Duplex } from 'node:stream';
import type { EndpointSlice, Node, Pod, Service } from '#api/gen/types.ts';
import { endpointSlices } from '#api/kinds/resources.ts';
import { specialAddressProblem } from '#api/meta/ip.ts';
import { StatusError } from '#common/errors.ts';
import { duplexOfChannels } from '#common/streams/duplex.ts';
import { badRequest } from '../../api-errors.ts';
import { parseBytes } from '../../encoding.ts';
import { listPage } from '../../resource-lists.ts';
import type { KindCall, RouteDeps } from '../../routes/types.ts';
import { gateway } from '../target.ts';

/** A server to hand a request on to. */
export interface ProxyTarget {
  readonly secure: boolean;
  /** `host:port`, as messages and the rewriting of links know it. */
  readonly host: string;
  /** Sent in place of what the client says. */
  readonly headers?: Readonly<Record<string, string | string[]>>;
  connect(signal: AbortSignal): Promise<Duplex>;
}

/** `[scheme:]name[:port]`, as the name of a proxied object may be written. */
export interface ProxyName {
  readonly scheme: string;
  readonly name: string;
  readonly port: string;
}

/** Undefined for what is no such name. */
export function parseProxyName(text: string): ProxyName | undefined {
  const parts = text.split(':');
  const [first = '', second = '', third = ''] = parts;
  if (parts.length > 3 || first === '') return parts.length === 3 && first === '' && second !== '' ? { scheme: '', name: second, port: third } : undefined;
  if (parts.length === 3) return second !== '' && isScheme(first) ? { scheme: first, name: second, port: third } : undefined;
  return parts.length === 2 && isScheme(first) && second !== '' ? { scheme: first, name: second, port: '' } : { scheme: '', name: first, port: second };
}

function isScheme(text: string): boolean {
  return text === 'http' || text === 'https';
}

/** The pod's address and, when no port is named, the first port that it declares. */
export async function podTarget(deps: RouteDeps, { kind, path }: KindCall): Promise<ProxyTarget> {
  const asked = parseProxyName(path.name ?? '');
  if (!asked) throw badRequest(`invalid pod request ${JSON.stringify(path.name)}`);
  const pod = parseBytes((await deps.resources.entry(kind, path.namespace, asked.name)).value) as Pod;
  const declared = (pod.spec?.containers ?? []).flatMap(({ ports = [] }) => ports.slice(0, 1))[0]?.containerPort;
  const port = asked.port === '' ? declared ?? (asked.scheme === 'https' ? 443 : 80) : portNumber(asked.port);
  if (port === undefined) throw badRequest(`invalid pod request ${JSON.stringify(path.name)}`);
  const address = pod.status?.podIP ?? '';
  if (address === '') throw badRequest(`pod ${asked.name} has no address yet`);
  return target(deps, asked.scheme === 'https', address, port, pod.spec?.nodeName);
}

/** One of the Service's ready endpoints, by chance. */
export async function serviceTarget(deps: RouteDeps, { kind, path }: KindCall, random: () => number = Math.random): Promise<ProxyTarget> {
  const asked = parseProxyName(path.name ?? '');
  if (!asked) throw badRequest(`invalid service request ${JSON.stringify(path.name)}`);
  const service = parseBytes((await deps.resources.entry(kind, path.namespace, asked.name)).value) as Service;
  const portName = servicePortName(service, asked);
  const slices = await listPage(deps.store, deps.kinds.of(endpointSlices), path.namespace, { labelSelector: `kubernetes.io/service-name=${asked.name}` });
  const found = slices.entries.flatMap((entry) => {
    const slice = parseBytes(entry.value) as EndpointSlice;
    const port = slice.ports?.find(({ name = '' }) => name === portName)?.port;
    const ready = (slice.endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false);
    return port === undefined ? [] : ready.flatMap(({ addresses: [address], nodeName }) => (address === undefined ? [] : [{ address, port, nodeName }]));
  });
  const chosen = found[Math.floor(random() * found.length)];
  if (!chosen) throw new StatusError('ServiceUnavailable', `no endpoints available for service ${JSON.stringify(path.name)}`);
  return target(deps, asked.scheme === 'https', chosen.address, chosen.port, chosen.nodeName);
}

/** By its number a port has a name; by no name, a Service's only port may be meant. */
function servicePortName({ spec }: Service, { name, port }: ProxyName): string {
  const ports = spec?.ports ?? [];
  const number = portNumber(port);
  if (number === undefined) return port;
  const found = ports.find((candidate) => candidate.port === number);
  if (!found) throw new StatusError('ServiceUnavailable', `no service port ${String(number)} found for service ${JSON.stringify(name)}`);
  return found.name ?? '';
}

/** A port of the host itself; undefined when the kubelet's own is meant, which the server answers for. */
export async function nodeTarget(deps: RouteDeps, { kind, path }: KindCall): Promise<{ readonly node: Node; readonly target: ProxyTarget | undefined }> {
  const asked = parseProxyName(path.name ?? '');
  const port = asked && (asked.port === '' ? kubeletPort : portNumber(asked.port));
  if (!asked || port === undefined) throw badRequest(`invalid node request ${JSON.stringify(path.name)}`);
  const node = parseBytes((await deps.resources.entry(kind, undefined, asked.name)).value) as Node;
  if (port === kubeletPort) return { node, target: undefined };
  const address = node.status?.addresses?.find(({ type }) => type === 'InternalIP')?.address;
  if (address === undefined) throw new StatusError('ServiceUnavailable', `node ${asked.name} has no address`);
  return { node, target: target(deps, asked.scheme === 'https', address, port, asked.name) };
}

const kubeletPort = 10_250;

function portNumber(text: string): number | undefined {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return port > 0 && port < 65_536 ? port : undefined;
}

/** Reached from its own node where that is known: only there is it sure that packets arrive. */
function target(deps: RouteDeps, secure: boolean, address: string, port: number, nodeName: string | undefined): ProxyTarget {
  if (specialAddressProblem(address) !== undefined) throw badRequest('address not allowed');
  const host = `${address.includes(':') ? `[${address}]` : address}:${String(port)}`;
  const connect = async (signal: AbortSignal): Promise<Duplex> => (nodeName === undefined
    ? connectFromHere(address, port, signal)
    : duplexOfChannels(await gateway(deps, nodeName).open(nodeName, { kind: 'dial', host: address, port }, [0], signal)));
  return { secure, host, connect };
}

async function connectFromHere(host: string, port: number, signal: AbortSignal): Promise<Duplex> {
  const net = await import('node:net');
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host, port, signal, noDelay: true });
    socket.once('error', reject);
    socket.once('connect', () => { socket.off('error', reject).on('error', () => undefined); resolve(socket); });
  });
}
