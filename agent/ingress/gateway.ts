import { createSecureContext } from 'node:tls';
import { ingressCertificates, type IngressCertificate } from '#api/ingress/ingress.ts';
import { routesOf, serviceOfSlice, type Routes } from '#api/ingress/routes.ts';
import { endpointSlices, ingresses, services } from '#api/kinds/resources.ts';
import type { EndpointSlice } from '#api/gen/types.ts';
import { objectKey } from '#api/meta/object.ts';
import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import { isAbort, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { Wakeup } from '#common/wakeup.ts';
import { nodeEvent } from '#agent/session/node-event.ts';
import type { AgentEvents } from '#agent/session/types.ts';
import type { DesiredState } from '#agent/state/types.ts';
import { certificateFile } from './haproxy-config.ts';
import type { IngressProxy } from './types.ts';

export interface GatewayDeps {
  readonly state: DesiredState;
  readonly proxy: IngressProxy;
  readonly events: AgentEvents;
  /** Called with whether this host serves Ingresses now, whenever that changes. */
  readonly served: (serving: boolean) => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
}

export interface GatewayConfig {
  readonly nodeName: string;
  /** Changes in between travel together. */
  readonly minIntervalMs: number;
  /** How often to look whether the proxy runs. */
  readonly checkIntervalMs: number;
}

export const gatewayDefaults = { minIntervalMs: 50, checkIntervalMs: 5000 } as const;

const retry = { baseMs: 1000, maxMs: 30_000, jitter: 0.2 } as const;
const concerned: ReadonlySet<string> = new Set([ingresses, ingressCertificates, services, endpointSlices].map(({ plural }) => plural));

/**
 * Keeps the proxy serving what the Ingresses that this host was told of ask for; ends it with the last of them. The
 * proxy goes on when this ends.
 */
export class Gateway implements Runnable {
  readonly #deps: GatewayDeps;
  readonly #config: GatewayConfig;
  readonly #wakeup = new Wakeup();
  /** Counts what changes; `#done` of them are served. */
  #changes = 0;
  #done = -1;
  #complaint: string | undefined;
  #checked = new Map<string, { readonly object: IngressCertificate; readonly problem: string | undefined }>();

  constructor(deps: GatewayDeps, config: GatewayConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  async start(signal: AbortSignal): Promise<void> {
    const { state, clock, random } = this.#deps;
    const stop = state.subscribe((changes) => {
      if (!changes.some(({ resource }) => concerned.has(resource.plural))) return;
      this.#changes++;
      this.#wakeup.notify();
    });
    try {
      for (let failures = 0; ;) {
        const seen = this.#changes;
        failures = await this.#look(signal) ? 0 : failures + 1;
        if (failures > 0) await clock.sleep(backoffMs(retry, failures, random), signal);
        else if (seen === this.#changes) await this.#wait(signal);
        await clock.sleep(this.#config.minIntervalMs, signal);
      }
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    } finally {
      stop();
    }
  }

  /** For a change or, where a proxy runs that may end, for the next look at it. */
  async #wait(signal: AbortSignal): Promise<void> {
    if (this.#deps.state.list(ingresses).length === 0) await this.#wakeup.wait(signal);
    else await this.#wakeup.waitAtMost(this.#config.checkIntervalMs, this.#deps.clock, signal);
  }

  /** False when it is to be tried again. */
  async #look(signal: AbortSignal): Promise<boolean> {
    const { state, proxy, log, served } = this.#deps;
    const wanted = state.list(ingresses).length > 0;
    // Until the control plane has spoken nothing is known to be unwanted.
    if (!wanted && (!state.known || !state.reliable)) return true;
    const changes = this.#changes;
    try {
      const alive = await proxy.running();
      if (this.#done === changes && (alive || !wanted)) return true;
      if (wanted) await this.#serve(signal);
      else await proxy.stop(signal);
      this.#done = changes;
      this.#complaint = undefined;
      served(wanted);
      return true;
    } catch (error) {
      if (signal.aborted) throw error;
      const message = messageOf(error);
      log.warn({ err: message }, 'Ingresses cannot be served as they are; trying again');
      if (message !== this.#complaint) this.#event(message);
      this.#complaint = message;
      served(await proxy.running());
      return false;
    }
  }

  async #serve(signal: AbortSignal): Promise<void> {
    const routes = this.#routes();
    const certificates = new Map(routes.certificates.map((one) => [certificateFile(one), this.#pem(one)]));
    await this.#deps.proxy.serve(routes, certificates, signal);
  }

  #routes(): Routes {
    const { state } = this.#deps;
    const slices = new Map<string, EndpointSlice[]>();
    for (const slice of state.list(endpointSlices)) {
      const key = objectKey(slice.metadata?.namespace, serviceOfSlice(slice) ?? '');
      const list = slices.get(key);
      if (list) list.push(slice);
      else slices.set(key, [slice]);
    }
    return routesOf({
      ingresses: state.list(ingresses),
      service: (namespace, name) => state.get(services, namespace, name),
      slices: (namespace, name) => slices.get(objectKey(namespace, name)) ?? [],
      certificateProblem: (namespace, name) => this.#certificateProblem(namespace, name),
    });
  }

  /** One bad certificate must not keep the proxy from serving the rest. */
  #certificateProblem(namespace: string, name: string): string | undefined {
    const object = this.#deps.state.get(ingressCertificates, namespace, name);
    if (!object) return 'the Secret is missing';
    const key = objectKey(namespace, name);
    const checked = this.#checked.get(key);
    if (checked?.object === object) return checked.problem;
    const problem = pemProblem(object);
    if (problem !== undefined) this.#event(`TLS of Secret ${key} is not served: ${problem}`);
    this.#checked.set(key, { object, problem });
    return problem;
  }

  #pem({ namespace, secretName }: { readonly namespace: string; readonly secretName: string }): string {
    const object = this.#deps.state.get(ingressCertificates, namespace, secretName);
    return `${text(object?.certificate)}\n${text(object?.key)}\n`;
  }

  #event(message: string): void {
    const { events, clock } = this.#deps;
    const { nodeName } = this.#config;
    events.emit(nodeEvent(nodeName, clock, 'Warning', 'IngressNotServed', message));
  }
}

function pemProblem({ certificate, key }: IngressCertificate): string | undefined {
  try {
    createSecureContext({ cert: text(certificate), key: text(key) });
    return undefined;
  } catch (error) {
    return `tls.crt and tls.key are no certificate with its key (${messageOf(error)}); make the Secret anew with kubectl create secret tls`;
  }
}

function text(base64: string | undefined): string {
  return Buffer.from(base64 ?? '', 'base64').toString().trim();
}
