import { createServer, type Server } from 'node:http';
import { messageOf } from '#common/errors.ts';

/** What a load balancer may ask this host about one Service: whether it has endpoints here. */
export interface HealthCheck {
  readonly namespace: string;
  readonly name: string;
  readonly nodePort: number;
  /** Ready ones of this host; those that end are no reason to send more. */
  readonly localEndpoints: number;
}

interface Open {
  readonly server: Server;
  check: HealthCheck;
}

/**
 * Answers on the health-check port of each Service of type LoadBalancer under the Local policy: 200 while this host has endpoints
 * and its rules are in place, else 503. Source: https://kubernetes.io/docs/tasks/access-application-cluster/create-external-load-balancer/#preserving-the-client-source-ip
 */
export class HealthChecks {
  readonly #open = new Map<number, Open>();
  readonly #healthy: () => boolean;

  constructor(healthy: () => boolean) {
    this.#healthy = healthy;
  }

  /** Listens for exactly these. Resolves with those whose port cannot be had, and why. */
  async update(checks: readonly HealthCheck[]): Promise<{ readonly check: HealthCheck; readonly why: string }[]> {
    const wanted = new Map(checks.map((check) => [check.nodePort, check]));
    for (const [port, { server }] of this.#open) {
      if (wanted.has(port)) continue;
      this.#open.delete(port);
      await close(server);
    }
    const failed = [];
    for (const [port, check] of wanted) {
      const open = this.#open.get(port);
      if (open) {
        open.check = check;
        continue;
      }
      try {
        await this.#listen(check);
      } catch (error) {
        failed.push({ check, why: messageOf(error) });
      }
    }
    return failed;
  }

  async #listen(check: HealthCheck): Promise<void> {
    const open: Open = { check, server: createServer((_, response) => {
      const { namespace, name, localEndpoints } = open.check;
      const serviceProxyHealthy = this.#healthy();
      response.writeHead(localEndpoints > 0 && serviceProxyHealthy ? 200 : 503, { 'content-type': 'application/json', 'x-content-type-options': 'nosniff', 'x-load-balancing-endpoint-weight': String(localEndpoints) });
      response.end(JSON.stringify({ service: { namespace, name }, localEndpoints, serviceProxyHealthy }));
    }) };
    // Anybody may ask: nobody may hold on.
    open.server.requestTimeout = open.server.headersTimeout = open.server.keepAliveTimeout = 5000;
    open.server.maxConnections = 100;
    await new Promise<void>((resolve, reject) => { open.server.once('error', reject).listen(check.nodePort, () => { resolve(); }); });
    this.#open.set(check.nodePort, open);
  }
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise<void>((resolve) => { server.close(() => { resolve(); }); });
}
