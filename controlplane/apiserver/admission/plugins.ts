import type { Clock } from '#common/clock.ts';
import type { Store } from '#controlplane/store/types.ts';
import type { Authorizer } from '../auth/types.ts';
import type { KindIndex } from '../kind-index.ts';
import type { NodeGateway } from '../types.ts';
import { defaultIngressClass, defaultStorageClass } from './default-classes.ts';
import { limitRanger } from './limit-ranger.ts';
import { namespaceLifecycle } from './namespace-lifecycle.ts';
import { podDefaults, type PodDefaultsConfig } from './pod-defaults.ts';
import { podSecurity } from './pod-security.ts';
import { priority } from './priority.ts';
import { runtimeClass } from './runtime-class.ts';
import { serviceAccount } from './service-account.ts';
import { StoredObjects } from './stored-objects.ts';
import type { AdmissionPlugin } from './types.ts';
import { claimResize } from './volumes.ts';
import { mutatingWebhooks, validatingWebhooks } from './webhooks/plugin.ts';

export interface AdmissionDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly kinds: KindIndex;
  readonly authorizer: Authorizer;
  readonly nodes: NodeGateway | undefined;
  /** Who may do what with which object, beyond what a role can say. */
  readonly access: readonly AdmissionPlugin[];
  readonly allocation: AdmissionPlugin;
  readonly quota: AdmissionPlugin;
}

/** All plugins, in Kubernetes' order. What is for rules that a cluster may not have is loaded with the first such rule. */
export function admissionPlugins(deps: AdmissionDeps, config: PodDefaultsConfig): AdmissionPlugin[] {
  const { store, clock, kinds, authorizer, access, allocation, quota } = deps;
  const objects = new StoredObjects(store);
  const expressions = once(async () => new (await import('./expressions.ts')).Expressions(authorizer));
  const webhooks = once(async () => {
    const [{ WebhookDispatcher }, { webhookCaller }] = await Promise.all([import('./webhooks/dispatcher.ts'), import('../custom/webhook-caller.ts')]);
    return new WebhookDispatcher({ objects, kinds, expressions, call: webhookCaller(store, deps.nodes) });
  });
  return [
    namespaceLifecycle(store), limitRanger(objects), serviceAccount(store, clock), ...access, podSecurity(objects), priority(objects), podDefaults(config),
    defaultStorageClass(objects), claimResize(objects), runtimeClass(objects), defaultIngressClass(objects), allocation,
    mutatingWebhooks(objects, webhooks), validatingWebhooks(objects, webhooks),
    // Counts last, when nobody can refuse any more.
    quota,
  ];
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => made ??= make();
}
