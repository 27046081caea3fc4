import { messageOf } from '#common/errors.ts';
import { text, type Reply } from '../http/reply.ts';
import { noSuchPath } from '../api-errors.ts';
import type { ApiRequest } from '../http/request.ts';

/** Throws, with the reason, while the part is not well. */
export type HealthCheck = () => void | Promise<void>;
export type HealthEndpoint = 'healthz' | 'livez' | 'readyz';

/** /healthz, /livez and /readyz, each also for one check (`/readyz/etcd`) and `?verbose`. The store has the place, and the name, of Kubernetes' etcd. */
export class Health {
  readonly #checks: Record<HealthEndpoint, Map<string, HealthCheck>> = { healthz: new Map(), livez: new Map(), readyz: new Map() };

  constructor() {
    // Log lines are written before the work goes on: who answers has written them.
    for (const endpoint of ['healthz', 'livez', 'readyz'] as const) for (const name of ['ping', 'log']) this.add(endpoint, name, () => undefined);
  }

  add(endpoint: HealthEndpoint, name: string, check: HealthCheck): void {
    this.#checks[endpoint].set(name, check);
  }

  /** Where health is told. */
  paths(): string[] {
    return Object.entries(this.#checks).flatMap(([endpoint, checks]) => [`/${endpoint}`, ...[...checks.keys()].map((name) => `/${endpoint}/${name}`)]);
  }

  /** Strangers learn which check fails, not why. */
  async serve(request: ApiRequest, known: boolean): Promise<Reply | undefined> {
    const [endpoint, only, ...rest] = request.segments;
    if (endpoint !== 'healthz' && endpoint !== 'livez' && endpoint !== 'readyz') return undefined;
    const wanted = only === 'store' ? 'etcd' : only;
    const checks = [...this.#checks[endpoint]].filter(([name]) => wanted === undefined || name === wanted);
    if (rest.length > 0 || checks.length === 0) throw noSuchPath();
    const excluded = new Set(request.query.getAll('exclude').flatMap((names) => names.split(',')).filter((name) => name !== ''));
    const results = await Promise.all(checks.map(async ([name, check]) => (excluded.has(name) ? { ok: true, line: `[+]${name} excluded: ok` } : run(name, check, known))));
    const unknown = [...excluded].filter((name) => !checks.some(([check]) => check === name)).sort();
    const lines = [...results.map(({ line }) => line), ...(unknown.length > 0 ? [`warn: some health checks cannot be excluded: no matches for ${unknown.map((name) => JSON.stringify(name)).join(', ')}`] : [])];
    const ok = results.every((result) => result.ok);
    if (ok && !request.query.has('verbose')) return text('ok');
    return text(`${lines.join('\n')}\n${endpoint} check ${ok ? 'passed' : 'failed'}\n`, ok ? 200 : 500);
  }
}

async function run(name: string, check: HealthCheck, known: boolean): Promise<{ readonly ok: boolean; readonly line: string }> {
  try {
    await check();
    return { ok: true, line: `[+]${name} ok` };
  } catch (error) {
    return { ok: false, line: `[-]${name} failed: ${known ? messageOf(error) : 'reason withheld'}` };
  }
}
