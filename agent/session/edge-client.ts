import { Client, credentials, status as grpc, type ClientDuplexStream, type ServiceDefinition, type ServiceError } from '@grpc/grpc-js';
import { StatusError, type StatusCode } from '#common/errors.ts';
import { agentsServerName, type AgentMessage, type ControlMessage, type EnrolRequest, type EnrolResponse, type PodTokenRequest, type PodTokenResponse, type RenewRequest, type TunnelFrame } from '#proto/edge/v1/messages.ts';
import type { EdgeServices } from '#proto/edge/v1/services.ts';
import { formatServerAddress, type ServerAddress } from './server-probe.ts';

export interface EdgeCredentials {
  readonly caPem: string;
  /** Absent only for joining. */
  readonly certPem?: string;
  readonly keyPem?: string;
}

/** A dead peer is noticed after both: an HTTP/2 ping is sent, its answer awaited. */
export interface PingConfig { readonly periodMs: number; readonly timeoutMs: number }

const defaultPing: PingConfig = { periodMs: 10_000, timeoutMs: 8_000 };
const unaryTimeoutMs = 20_000;

/** One connection to the control plane, verified against the pinned CA. Connects with the first call; errors are StatusErrors. */
export class EdgeClient {
  readonly #client: Client;
  readonly #services: EdgeServices;

  constructor(services: EdgeServices, address: ServerAddress, { caPem, certPem, keyPem }: EdgeCredentials, ping: PingConfig = defaultPing) {
    this.#services = services;
    const pair = certPem !== undefined && keyPem !== undefined ? [Buffer.from(keyPem), Buffer.from(certPem)] as const : [null, null] as const;
    this.#client = new Client(formatServerAddress(address), credentials.createSsl(Buffer.from(caPem), ...pair), {
      // The server is known by its CA, not by its address; the name also tells the shared port that this is for gRPC.
      'grpc.ssl_target_name_override': agentsServerName,
      'grpc.keepalive_time_ms': ping.periodMs,
      'grpc.keepalive_timeout_ms': ping.timeoutMs,
      'grpc.max_receive_message_length': 8 << 20,
      // Back-off is the session's: every dial is a new connection.
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,
      'grpc.service_config_disable_resolution': 1,
      'grpc.enable_http_proxy': 0,
      'grpc.enable_channelz': 0,
    });
  }

  enrol(request: EnrolRequest, signal: AbortSignal): Promise<EnrolResponse> {
    return this.#unary(this.#services.enrolment, 'Enrol', request, signal);
  }

  renew(request: RenewRequest, signal: AbortSignal): Promise<EnrolResponse> {
    return this.#unary(this.#services.enrolment, 'Renew', request, signal);
  }

  podToken(request: PodTokenRequest, signal: AbortSignal): Promise<PodTokenResponse> {
    return this.#unary(this.#services.agents, 'PodToken', request, signal);
  }

  session(): ClientDuplexStream<AgentMessage, ControlMessage> {
    return this.#stream('Session');
  }

  tunnel(): ClientDuplexStream<TunnelFrame, TunnelFrame> {
    return this.#stream('Tunnel');
  }

  close(): void {
    this.#client.close();
  }

  #unary<Request extends object, Response>(service: ServiceDefinition, name: string, request: Request, signal: AbortSignal): Promise<Response> {
    const method = methodOf(service, name);
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        method.path, method.requestSerialize, method.responseDeserialize as (bytes: Buffer) => Response, request, { deadline: Date.now() + unaryTimeoutMs },
        (error, response) => {
          signal.removeEventListener('abort', abort);
          if (response) resolve(response);
          else reject(signal.aborted ? signal.reason as Error : fromGrpc(error));
        },
      );
      const abort = (): void => { call.cancel(); };
      if (signal.aborted) abort();
      else signal.addEventListener('abort', abort, { once: true });
    });
  }

  #stream<Up, Down>(name: string): ClientDuplexStream<Up, Down> {
    const method = methodOf(this.#services.agents, name);
    return this.#client.makeBidiStreamRequest(method.path, method.requestSerialize as (message: Up) => Buffer, method.responseDeserialize as (bytes: Buffer) => Down);
  }
}

function methodOf(service: ServiceDefinition, name: string): ServiceDefinition[string] {
  const method = service[name];
  if (!method) throw new Error(`edge.proto lacks ${name}`);
  return method;
}

const codes: Readonly<Partial<Record<grpc, StatusCode>>> = {
  [grpc.INVALID_ARGUMENT]: 'BadRequest', [grpc.UNAUTHENTICATED]: 'Unauthorized', [grpc.PERMISSION_DENIED]: 'Forbidden', [grpc.NOT_FOUND]: 'NotFound',
  [grpc.ALREADY_EXISTS]: 'AlreadyExists', [grpc.ABORTED]: 'Conflict', [grpc.RESOURCE_EXHAUSTED]: 'TooManyRequests', [grpc.DEADLINE_EXCEEDED]: 'Timeout',
  [grpc.UNAVAILABLE]: 'ServiceUnavailable',
};

/** A StatusError with the control plane's own words. */
export function fromGrpc(error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  const { code, details, message } = error as ServiceError;
  return new StatusError(codes[code] ?? 'InternalError', details || message || 'the call was cancelled', { cause: error });
}
