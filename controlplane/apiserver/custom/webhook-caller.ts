import { isIP } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { request as httpsRequest } from 'node:https';
import type { EndpointSlice, Service } from '#api/gen/types.ts';
import { endpointSlices, services } from '#api/kinds/resources.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { storeKey, storePrefix } from '#controlplane/store/keys.ts';
import type { Store } from '#controlplane/store/types.ts';
import { parseBytes } from '../encoding.ts';
import type { NodeGateway } from '../types.ts';
import type { WebhookCaller } from './conversion-webhook.ts';

const maxAnswerBytes = 16 << 20;

interface Target { readonly host: string; readonly port: number; readonly path: string; readonly serverName: string; readonly nodeName?: string | undefined; readonly servicePort?: number }
type Config = Parameters<WebhookCaller>[0];

/** Calls webhooks over HTTPS, by URL or by Service: through the endpoint's own node where that is known, since only there is it sure that packets arrive. */
export function webhookCaller(store: Store, nodes?: NodeGateway): WebhookCaller {
  return async (config, review, timeoutMs) => {
    const target = config.service ? await serviceTarget(store, config.service) : urlTarget(config.url ?? '');
    const signal = AbortSignal.timeout(timeoutMs);
    try {
      return JSON.parse(await post(target, config.caBundle, JSON.stringify(review), signal, nodes)) as unknown;
    } catch (error) {
      throw new StatusError('ServiceUnavailable', `Post "https://${target.serverName}:${String(target.servicePort ?? target.port)}${target.path}": ${signal.aborted ? 'context deadline exceeded' : messageOf(error)}`, { cause: error });
    }
  };
}

function urlTarget(text: string): Target {
  const url = new URL(text);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return { host, port: Number(url.port || '443'), path: url.pathname + url.search, serverName: host };
}

/** A ready endpoint of the Service, directly: this host may have no route to Service addresses. */
async function serviceTarget(store: Store, { namespace, name, path = '/', port = 443 }: NonNullable<Config['service']>): Promise<Target> {
  const entry = await store.get(storeKey(services, namespace, name));
  if (!entry) throw new StatusError('ServiceUnavailable', `service ${JSON.stringify(name)} not found in namespace ${JSON.stringify(namespace)}`);
  const service = parseBytes(entry.value) as Service;
  const servicePort = service.spec?.ports?.find((one) => one.port === port);
  if (!servicePort) throw new StatusError('ServiceUnavailable', `no service port ${String(port)} found for service ${JSON.stringify(name)}`);
  const serverName = `${name}.${namespace}.svc`;
  const at = path.startsWith('/') ? path : `/${path}`;
  if (service.spec?.type === 'ExternalName') return { host: service.spec.externalName ?? '', port, path: at, serverName };
  const { entries } = await store.list({ prefix: storePrefix(endpointSlices, namespace) });
  const slices = entries.map(({ value }) => parseBytes(value) as EndpointSlice).filter(({ metadata }) => metadata?.labels?.['kubernetes.io/service-name'] === name);
  const found = slices.flatMap(({ endpoints, ports }) => (endpoints ?? []).flatMap(({ addresses, conditions, nodeName }) => {
    const target = ports?.find((one) => (one.name ?? '') === (servicePort.name ?? ''))?.port;
    return conditions?.ready === false || target === undefined ? [] : addresses.map((host) => ({ host, port: target, nodeName }));
  }));
  const [chosen] = found.slice(Math.floor(Math.random() * found.length));
  if (!chosen) throw new StatusError('ServiceUnavailable', `no endpoints available for service ${JSON.stringify(name)}`);
  return { ...chosen, path: at, serverName, servicePort: port };
}

/** Through the agent of a node; undefined: directly. */
async function connect({ host, port, serverName, nodeName }: Target, ca: string | undefined, signal: AbortSignal, nodes: NodeGateway | undefined): Promise<TLSSocket | undefined> {
  if (!nodes || nodeName === undefined) return undefined;
  const [tls, { duplexOfChannels }] = await Promise.all([import('node:tls'), import('#common/streams/duplex.ts')]);
  const socket = duplexOfChannels(await nodes.open(nodeName, { kind: 'dial', host, port }, [0], signal));
  return tls.connect({ socket, servername: serverName, ALPNProtocols: ['http/1.1'], ...(ca !== undefined && { ca }) });
}

async function post(target: Target, caBundle: string | undefined, body: string, signal: AbortSignal, nodes: NodeGateway | undefined): Promise<string> {
  const { host, port, path, serverName } = target;
  const ca = caBundle ? Buffer.from(caBundle, 'base64').toString() : undefined;
  const socket = await connect(target, ca, signal, nodes);
  return new Promise((resolve, reject) => {
    const request = httpsRequest({
      host, port, path, method: 'POST', signal, ...(socket ? { createConnection: () => socket } : { agent: false }),
      ...(isIP(serverName) === 0 && { servername: serverName }),
      // The certificate is the Service's, whichever endpoint answers.
      ...(isIP(host) !== 0 && isIP(serverName) === 0 && { headers: { host: `${serverName}:${String(target.servicePort ?? port)}` } }),
      ...(ca !== undefined && { ca }),
    }, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size > maxAnswerBytes) request.destroy(new Error(`the answer is larger than ${String(maxAnswerBytes)} bytes`));
      });
      response.on('error', reject);
      response.on('end', () => {
        const status = response.statusCode ?? 0;
        if (status >= 200 && status < 300) resolve(Buffer.concat(chunks).toString());
        else reject(new Error(`status ${String(status)}`));
      });
    });
    request.on('error', reject);
    request.setHeader('Content-Type', 'application/json');
    request.setHeader('Accept', 'application/json');
    request.end(body);
  });
}
