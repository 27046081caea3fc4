import type { FlowSchema, PriorityLevelConfiguration } from '#api/gen/types.ts';
import { flowSchemas, priorityLevelConfigurations } from '#api/kinds/resources.ts';
import type { Attributes, Informers } from '../auth/types.ts';
import type { Flow, Level } from '../http/fair-queue.ts';
import { classify, inOrder } from './classify.ts';

/** What a request belongs to, and what its answer says of that. */
export interface Classified extends Flow {
  /** `X-Kubernetes-PF-*`; empty while nothing is known of the levels. */
  readonly headers: Readonly<Record<string, string>>;
}

interface Levels {
  readonly schemas: readonly FlowSchema[];
  readonly byName: ReadonlyMap<string, { readonly level: Level; readonly uid: string }>;
}

/** Before the first objects are there. */
const unknownLevel: Level = { name: 'global-default', shares: 20, exempt: false, rejects: false };

/**
 * To which FlowSchema and priority level a request belongs.
 * Source: https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
 */
export class FlowControl {
  readonly #read: () => Levels;
  #levels: Levels | undefined;

  constructor(deps: { readonly informers: Informers }) {
    const schemas = deps.informers.informer(flowSchemas);
    const configurations = deps.informers.informer(priorityLevelConfigurations);
    this.#read = () => ({ schemas: inOrder(schemas.list()), byName: new Map(configurations.list().map((one) => [one.metadata?.name ?? '', { level: levelOf(one), uid: one.metadata?.uid ?? '' }])) });
    const forget = (): void => { this.#levels = undefined; };
    schemas.subscribe(forget);
    configurations.subscribe(forget);
  }

  flowOf(attributes: Attributes): Classified {
    this.#levels ??= this.#read();
    const { schemas, byName } = this.#levels;
    const schema = classify(schemas, attributes);
    const known = byName.get(schema?.spec?.priorityLevelConfiguration.name ?? '');
    const { name } = attributes.user;
    if (!schema || !known) return { level: unknownLevel, schema: '', key: name, headers: {} };
    const { name: schemaName = '', uid = '' } = schema.metadata ?? {};
    const distinguisher = known.level.exempt ? name : distinguish(schema, attributes);
    return {
      level: known.level, schema: schemaName, key: `${schemaName}\n${distinguisher}`,
      headers: { 'X-Kubernetes-PF-FlowSchema-UID': uid, 'X-Kubernetes-PF-PriorityLevel-UID': known.uid },
    };
  }
}

function distinguish({ spec }: FlowSchema, { user, resource }: Attributes): string {
  switch (spec?.distinguisherMethod?.type) {
    case 'ByUser': return user.name;
    case 'ByNamespace': return resource?.namespace ?? '';
    default: return '';
  }
}

function levelOf({ metadata, spec }: PriorityLevelConfiguration): Level {
  return { name: metadata?.name ?? '', shares: spec?.limited?.nominalConcurrencyShares ?? 0, exempt: spec?.type === 'Exempt', rejects: spec?.limited?.limitResponse?.type === 'Reject' };
}
