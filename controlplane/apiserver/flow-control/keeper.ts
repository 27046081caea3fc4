import type { FlowSchema, FlowSchemaCondition, PriorityLevelConfiguration } from '#api/gen/types.ts';
import { flowSchemas, priorityLevelConfigurations, type Resource } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import type { Clock } from '#common/clock.ts';
import { isStatus, messageOf } from '#common/errors.ts';
import { untilAborted } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { rfc3339 } from '#common/time.ts';
import type { Informers } from '../auth/types.ts';
import type { ApiClient } from '../types.ts';
import { autoUpdate, defaultLevels, defaultSchemas, mandatory } from './default-objects.ts';

type Configuration = FlowSchema | PriorityLevelConfiguration;

/** Changes that come together are looked at together. */
const settleMs = 500;
const retryMs = 10_000;

/**
 * Makes the default FlowSchemas and priority levels, gives them back what they lose, and says of each FlowSchema
 * whether its level is there. Looks when something has changed, and writes only what is not right.
 */
export class FlowControlKeeper {
  readonly #deps: { readonly informers: Informers; readonly client: ApiClient; readonly clock: Clock; readonly log: Log };
  #cancel: (() => void) | undefined;

  constructor(deps: { readonly informers: Informers; readonly client: ApiClient; readonly clock: Clock; readonly log: Log }) {
    this.#deps = deps;
  }

  async start(signal: AbortSignal): Promise<void> {
    const { informers } = this.#deps;
    const [schemas, levels] = [informers.informer(flowSchemas), informers.informer(priorityLevelConfigurations)];
    await Promise.all([schemas.synced(signal), levels.synced(signal)]);
    const look = (): void => { this.#soon(settleMs, signal); };
    const unsubscribe = [schemas.subscribe(look), levels.subscribe(look)];
    await untilAborted(signal);
    for (const stop of unsubscribe) stop();
    this.#cancel?.();
  }

  #soon(delayMs: number, signal: AbortSignal): void {
    if (signal.aborted) return;
    this.#cancel?.();
    this.#cancel = this.#deps.clock.after(delayMs, () => {
      const [schemas, levels] = [this.#deps.informers.informer(flowSchemas), this.#deps.informers.informer(priorityLevelConfigurations)];
      this.#keep(schemas.list(), levels.list()).catch((error: unknown) => {
        if (signal.aborted) return;
        this.#deps.log.warn({ err: messageOf(error) }, 'default priority levels could not be kept; trying again');
        this.#soon(retryMs, signal);
      });
    });
  }

  /** Before requests are answered: reads what is stored, and writes nothing when all is right. */
  async prepare(): Promise<void> {
    const { client } = this.#deps;
    const read = async (): Promise<[FlowSchema[], PriorityLevelConfiguration[]]> => [(await client.list(flowSchemas)).items, (await client.list(priorityLevelConfigurations)).items];
    const before = await read();
    await this.#keep(...before);
    // What is said of new ones.
    if (before[0].length < defaultSchemas.length) await this.#keep(...await read());
  }

  /** Once over everything. */
  async #keep(schemas: readonly FlowSchema[], levels: readonly PriorityLevelConfiguration[]): Promise<void> {
    const named = <T extends Configuration>(list: readonly T[], name = ''): T | undefined => list.find(({ metadata }) => metadata?.name === name);
    await Promise.all([
      ...defaultLevels.map((one) => this.#ensure(priorityLevelConfigurations, named(levels, one.metadata?.name), one)),
      ...defaultSchemas.map((one) => this.#ensure(flowSchemas, named(schemas, one.metadata?.name), one)),
    ]);
    const isThere = (name: string): boolean => named(levels, name) !== undefined || defaultLevels.some(({ metadata }) => metadata?.name === name);
    await Promise.all(schemas.map((schema) => this.#tell(schema, isThere(schema.spec?.priorityLevelConfiguration.name ?? ''))));
  }

  async #ensure<T extends Configuration>(resource: Resource<T>, current: T | undefined, wanted: T): Promise<void> {
    const { client } = this.#deps;
    try {
      if (!current) await client.create(resource, wanted);
      else if (isOurs(current) && !equal(current.spec, wanted.spec)) await client.update(resource, { ...current, spec: wanted.spec });
    } catch (error) {
      // Made or changed meanwhile: that is told, and looked at.
      if (!isStatus(error, 'AlreadyExists', 'Conflict', 'NotFound')) throw error;
    }
  }

  async #tell(schema: FlowSchema, isThere: boolean): Promise<void> {
    const known = schema.status?.conditions ?? [];
    const level = schema.spec?.priorityLevelConfiguration.name ?? '';
    const start = `This FlowSchema references the PriorityLevelConfiguration object named ${JSON.stringify(level)}`;
    const said = isThere ? { status: 'False', reason: 'Found', message: `${start} and it exists` } : { status: 'True', reason: 'NotFound', message: `${start} but there is no such object` };
    const before = known.find(({ type }) => type === 'Dangling');
    if (before?.status === said.status && before.message === said.message) return;
    const condition: FlowSchemaCondition = { type: 'Dangling', ...said, lastTransitionTime: before?.status === said.status ? before.lastTransitionTime : rfc3339(this.#deps.clock.now()) };
    try {
      await this.#deps.client.patch(flowSchemas, undefined, schema.metadata?.name ?? '', 'merge', { status: { conditions: [...known.filter((one) => one !== before), condition] } }, 'status');
    } catch (error) {
      if (!isStatus(error, 'NotFound', 'Conflict')) throw error;
    }
  }
}

/** Whether its spec is the server's: a default that nobody took over. */
function isOurs({ metadata }: Configuration): boolean {
  const said = metadata?.annotations?.[autoUpdate];
  return mandatory.has(metadata?.name ?? '') || (said === undefined ? metadata?.generation === 1 : said === 'true');
}
