import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ingressAnnotation } from '#api/ingress/ingress.ts';
import { ingresses } from '#api/kinds/resources.ts';
import { isAbort, type Runnable } from '#common/lifecycle.ts';
import { Wakeup } from '#common/wakeup.ts';
import type { GatewayDeps } from './gateway.ts';
import type { HaproxyConfig, HaproxyDeps } from './haproxy.ts';

export type IngressGatewayDeps = Omit<GatewayDeps, 'proxy' | 'served'>;

export interface IngressGatewayConfig extends Omit<HaproxyConfig, 'dir'> {
  readonly nodeName: string;
  /** Whether this host is to serve Ingresses. */
  readonly wanted: boolean;
  /** Of the agent, below /run. */
  readonly runDir: string;
}

/** Below an agent's run directory: what the proxy reads. */
export function proxyDir(runDir: string): string {
  return join(runDir, 'ingress');
}

/** The gateway, loaded with the first Ingress that this host is told of, or when an earlier life left a proxy. */
export class IngressGateway implements Runnable {
  readonly #deps: IngressGatewayDeps;
  readonly #config: IngressGatewayConfig;
  readonly #listeners = new Set<() => void>();
  #serving = false;

  constructor(deps: IngressGatewayDeps, config: IngressGatewayConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** What the control plane goes by when it says where Ingresses are reached, and sends them, and their keys, to this host. */
  get annotations(): Readonly<Record<string, string>> {
    return { [ingressAnnotation]: !this.#config.wanted ? 'off' : this.#serving ? 'ready' : 'on' };
  }

  /** Called when `annotations` has changed. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async start(signal: AbortSignal): Promise<void> {
    const { state } = this.#deps;
    const { wanted, runDir, nodeName, ...proxyConfig } = this.#config;
    const dir = proxyDir(runDir);
    const wakeup = new Wakeup();
    const stop = state.subscribe(() => { wakeup.notify(); });
    try {
      while (!existsSync(dir) && (!wanted || state.list(ingresses).length === 0)) await wakeup.wait(signal);
      stop();
      const [{ Gateway, gatewayDefaults }, { Haproxy }] = await Promise.all([import('./gateway.ts'), import('./haproxy.ts')]);
      const proxy = new Haproxy(this.#deps, { ...proxyConfig, dir });
      if (!wanted) {
        await proxy.stop(signal);
        return;
      }
      const served = (serving: boolean): void => {
        if (serving === this.#serving) return;
        this.#serving = serving;
        for (const listener of this.#listeners) listener();
      };
      await new Gateway({ ...this.#deps, proxy, served }, { ...gatewayDefaults, nodeName }).start(signal);
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    } finally {
      stop();
    }
  }
}

/** Ends a proxy that an agent left when it ended, and removes what it read; false when there was none. */
export async function endIngressProxy(deps: HaproxyDeps, runDir: string, signal: AbortSignal): Promise<boolean> {
  const dir = proxyDir(runDir);
  if (!existsSync(dir)) return false;
  const { Haproxy } = await import('./haproxy.ts');
  await new Haproxy(deps, { dir, httpPort: 0, httpsPort: 0, searchPath: '' }).stop(signal);
  return true;
}
