import type { customKinds } from '#api/custom/kind.ts';
import type { ruleChecker } from '#api/custom/rules.ts';
import type { CustomResourceDefinition } from '#api/gen/types.ts';
import { customResourceDefinitions } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import { isAbort, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { storePrefix } from '#controlplane/store/keys.ts';
import type { Store } from '#controlplane/store/types.ts';
import type { KindIndex } from '../kind-index.ts';
import type { NodeGateway } from '../types.ts';
import type { ConversionWebhook } from './conversion-webhook.ts';

export interface CustomDefinitionsDeps {
  readonly store: Store;
  readonly kinds: KindIndex;
  /** The frozen object in stored bytes, shared with others who have it: definitions can be large. */
  readonly parse: (value: Uint8Array) => CustomResourceDefinition;
  /** Webhooks in pods are reached through their nodes; absent where no agents connect. */
  readonly nodes?: NodeGateway | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

interface Served {
  readonly definition: CustomResourceDefinition;
  readonly retire: AbortController;
}

const prefix = storePrefix(customResourceDefinitions);
const retry = { baseMs: 100, maxMs: 10_000, jitter: 0 };

/**
 * Serves the kinds of CustomResourceDefinitions: follows them in the store and keeps `kinds` true to them. A
 * definition is served once it is Established and until it is gone, so that its objects can be deleted.
 */
export class CustomDefinitions implements Runnable {
  readonly #deps: CustomDefinitionsDeps;
  readonly #served = new Map<string, Served>();
  #revision = 0;

  constructor(deps: CustomDefinitionsDeps) {
    this.#deps = deps;
  }

  /** Serves what is defined now. Called before requests are answered, and again when the watch has lost its place. */
  async load(): Promise<void> {
    const { entries, revision } = await this.#deps.store.list({ prefix });
    const present = new Set(entries.map(({ key }) => key.slice(prefix.length)));
    for (const name of this.#served.keys()) if (!present.has(name)) this.#remove(name);
    // At first nothing has been written since that an older definition let in.
    const isFirst = this.#revision === 0;
    for (const { key, value, modRevision } of entries) await this.#set(key.slice(prefix.length), value, isFirst ? modRevision : revision);
    this.#revision = revision;
  }

  /** Follows definitions until the signal aborts. */
  async start(signal: AbortSignal): Promise<void> {
    for (let failures = 0; ;) {
      try {
        for await (const events of this.#deps.store.watch({ prefix, after: this.#revision, signal })) {
          for (const event of events) {
            const name = event.key.slice(prefix.length);
            if (event.type === 'delete') this.#remove(name);
            else await this.#set(name, event.value, this.#deps.store.revision);
            this.#revision = event.revision;
          }
          failures = 0;
        }
        return;
      } catch (error) {
        if (isAbort(error, signal)) return;
        this.#deps.log.warn({ component: 'apiserver', err: messageOf(error) }, 'custom resource definitions are read anew');
        await this.#deps.clock.sleep(backoffMs(retry, ++failures, () => 0), signal).catch(() => undefined);
        await this.load().catch(() => undefined);
      }
    }
  }

  /** A definition that cannot be served is one line in the log; it must not stop the others. `since`: objects written later were written under it. */
  async #set(name: string, value: Uint8Array, since: number): Promise<void> {
    const definition = this.#deps.parse(value);
    const before = this.#served.get(name);
    // Also for what is not served yet: once clients see that it is Established they come at once.
    const code = await codeFor(definition);
    if (!isEstablished(definition)) return this.#remove(name);
    if (before && isServedAlike(before.definition, definition)) return;
    // Watches go on while a definition that is being deleted lets go of its objects: they are to see them leave.
    const retire = before && isSameKind(before.definition, definition) ? before.retire : new AbortController();
    try {
      await this.#serve(name, definition, code, { since, retired: retire.signal });
      this.#served.set(name, { definition, retire });
    } catch (error) {
      this.#deps.log.error({ component: 'apiserver', name, err: messageOf(error) }, 'custom resource definition cannot be served');
    } finally {
      if (before && before.retire !== retire) before.retire.abort();
    }
  }

  async #serve(name: string, definition: CustomResourceDefinition, { customKinds, ruleChecker }: Code, life: { readonly since: number; readonly retired: AbortSignal }): Promise<void> {
    const { conversion } = definition.spec;
    const webhook = conversion?.strategy === 'Webhook' && conversion.webhook ? { config: conversion.webhook, caller: await this.#webhook() } : undefined;
    const { served, storage } = customKinds(definition, {
      ...life, asks: webhook !== undefined,
      convert: (objects, apiVersion) => (webhook ? webhook.caller.convert(name, webhook.config, objects, apiVersion) : objects.map((object): KubeObject => ({ ...object, apiVersion }))),
      rules: (schema) => ruleChecker?.(schema) ?? (() => []),
    });
    this.#deps.kinds.replace(name, served, storage);
  }

  async #webhook(): Promise<ConversionWebhook> {
    const [{ ConversionWebhook: Webhook }, { webhookCaller }] = await Promise.all([import('./conversion-webhook.ts'), import('./webhook-caller.ts')]);
    return new Webhook(webhookCaller(this.#deps.store, this.#deps.nodes));
  }

  #remove(name: string): void {
    const before = this.#served.get(name);
    if (!before) return;
    this.#served.delete(name);
    this.#deps.kinds.replace(name, []);
    before.retire.abort();
  }
}

interface Code { readonly customKinds: typeof customKinds; readonly ruleChecker: typeof ruleChecker | undefined }

/** What serving a definition takes, loaded with the first that there is; expressions with the first that has some. */
async function codeFor({ spec }: CustomResourceDefinition): Promise<Code> {
  const { customKinds: make, hasRules, schemaOf } = await import('#api/custom/kind.ts');
  const rules = spec.versions.some((version) => hasRules(schemaOf(version))) ? await import('#api/custom/rules.ts') : undefined;
  return { customKinds: make, ruleChecker: rules?.ruleChecker };
}

/** What of a definition decides how it is served; the rest may change without a word. */
function isServedAlike(a: CustomResourceDefinition, b: CustomResourceDefinition): boolean {
  const isLeaving = ({ metadata }: CustomResourceDefinition): boolean => metadata?.deletionTimestamp !== undefined;
  return isLeaving(a) === isLeaving(b) && isSameKind(a, b);
}

function isSameKind(a: CustomResourceDefinition, b: CustomResourceDefinition): boolean {
  return equal([a.spec, a.status?.acceptedNames], [b.spec, b.status?.acceptedNames]);
}

function isEstablished({ status }: CustomResourceDefinition): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === 'Established' && is === 'True') ?? false;
}
