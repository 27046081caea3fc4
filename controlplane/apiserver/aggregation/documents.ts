import { apiVersionOf } from '#api/kinds/resources.ts';
import { isRecord } from '#api/meta/json.ts';
import type { ResourceEntry } from '../routes/discovery.ts';
import { isAvailable, type RemoteService } from './api-services.ts';

/** Asks another server for a JSON document; rejects when it takes more than some seconds. */
export type Ask = (remote: RemoteService, path: string) => Promise<{ readonly status: number; readonly body: Buffer }>;

interface Kept { readonly askedAt: number; readonly value: unknown; readonly isCurrent: boolean }

/** How old a document may be that is shown as current, and how soon a server that did not answer is asked again. */
const freshMs = 30_000;
const askAgainMs = 3_000;
const maxServices = 200;

/** What other servers say of themselves, asked when somebody wants to know and kept for a while. */
export class RemoteDocuments {
  readonly #ask: Ask;
  readonly #kept = new Map<string, Map<string, Promise<Kept>>>();

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  /** The resources of its group version: those last known when it does not answer now. */
  async resources(remote: RemoteService): Promise<{ readonly resources: readonly ResourceEntry[]; readonly isCurrent: boolean }> {
    const { value, isCurrent } = await this.#get(remote, `/apis/${apiVersionOf(remote)}`);
    return { resources: isRecord(value) && Array.isArray(value['resources']) ? value['resources'].filter(isResource) : [], isCurrent };
  }

  /** Its OpenAPI document of version 3, as it writes it; undefined when it has none. */
  async openApi(remote: RemoteService): Promise<Document | undefined> {
    return recordOf(await this.#get(remote, `/openapi/v3/apis/${apiVersionOf(remote)}`));
  }

  /** Its OpenAPI document of version 2; undefined when it has none. */
  async swagger(remote: RemoteService): Promise<Document | undefined> {
    return recordOf(await this.#get(remote, '/openapi/v2'));
  }

  async #get(remote: RemoteService, path: string): Promise<Kept> {
    const about = remote.apiService.metadata?.uid ?? '';
    if (!this.#kept.has(about) && this.#kept.size >= maxServices) this.#kept.clear();
    const kept = this.#kept.get(about) ?? new Map<string, Promise<Kept>>();
    this.#kept.set(about, kept);
    const before = await kept.get(path);
    if (!isAvailable(remote)) return { askedAt: 0, value: before?.value, isCurrent: false };
    if (before && performance.now() - before.askedAt < (before.isCurrent ? freshMs : askAgainMs)) return before;
    const asked = this.#fresh(remote, path, before?.value);
    kept.set(path, asked);
    return asked;
  }

  async #fresh(remote: RemoteService, path: string, before: unknown): Promise<Kept> {
    const askedAt = performance.now();
    try {
      const { status, body } = await this.#ask(remote, path);
      if (status === 200) return { askedAt, value: JSON.parse(body.toString()) as unknown, isCurrent: true };
    } catch { /* it is told by the condition of its APIService */ }
    return { askedAt, value: before, isCurrent: false };
  }
}

type Document = Readonly<Record<string, unknown>>;

function recordOf({ value, isCurrent }: Kept): Document | undefined {
  return isCurrent && isRecord(value) ? value : undefined;
}

function isResource(value: unknown): value is ResourceEntry {
  return isRecord(value) && typeof value['name'] === 'string' && typeof value['kind'] === 'string' && Array.isArray(value['verbs']);
}
