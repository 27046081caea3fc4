import type { Clock } from '#common/clock.ts';
import { TaskGroup } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import type { Store } from '#controlplane/store/types.ts';
import type { Authorizer } from '../auth/types.ts';
import type { KindIndex } from '../kind-index.ts';
import type { ApiClient, NodeGateway, User } from '../types.ts';
import { AdmissionChain } from './chain.ts';
import { defaultIngressClass, defaultStorageClass } from './default-classes.ts';
import { disconnectPolicy } from './disconnect-policy.ts';
import { deviceAccess } from './device-access.ts';
import { limitRanger } from './limit-ranger.ts';
import { namespaceLifecycle } from './namespace-lifecycle.ts';
import { taintNewNodes } from './node-taint.ts';
import { podDefaults, type PodDefaultsConfig } from './pod-defaults.ts';
import { podSecurity } from './pod-security.ts';
import { PolicyAdmission } from './policies/plugin.ts';
import { priority } from './priority.ts';
import { QuotaAdmission } from './quota/quota.ts';
import { runtimeClass } from './runtime-class.ts';
import { serviceAccount } from './service-account.ts';
import { StoredObjects } from './stored-objects.ts';
import type { AdmissionPlugin } from './types.ts';
import { claimResize, storageProtection } from './volumes.ts';
import { mutatingWebhooks, validatingWebhooks } from './webhooks/plugin.ts';

export interface AdmissionDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly kinds: KindIndex;
  readonly authorizer: Authorizer;
  readonly nodes: NodeGateway | undefined;
  /** Who may do what with which object, beyond what a role can say. */
  readonly access: readonly AdmissionPlugin[];
  readonly allocation: AdmissionPlugin;
}

/** All plugins, in Kubernetes' order. What is for rules that a cluster may not have is loaded with the first such rule. */
export class Admission {
  readonly chain: AdmissionChain;
  readonly #quota: QuotaAdmission;
  readonly #policies: PolicyAdmission;
  readonly #log: Log;

  constructor(deps: AdmissionDeps, config: PodDefaultsConfig) {
    const { store, clock, log, kinds, authorizer, access, allocation } = deps;
    const objects = new StoredObjects(store);
    const expressions = once(async () => new (await import('./expressions.ts')).Expressions(authorizer));
    const webhooks = once(async () => {
      const [{ WebhookDispatcher }, { webhookCaller }] = await Promise.all([import('./webhooks/dispatcher.ts'), import('../custom/webhook-caller.ts')]);
      return new WebhookDispatcher({ objects, kinds, expressions, call: webhookCaller(store, deps.nodes) });
    });
    const policies = once(async () => new (await import('./policies/policies.ts')).Policies({ objects, kinds, expressions: await expressions() }));
    this.#log = log;
    this.#quota = new QuotaAdmission({ store, log, clock });
    this.#policies = new PolicyAdmission({ objects, kinds, policies, log });
    this.chain = new AdmissionChain([
      namespaceLifecycle(store), limitRanger(objects), serviceAccount(store, clock), ...access, taintNewNodes, podSecurity(objects), priority(objects), podDefaults(config), disconnectPolicy(objects),
      defaultStorageClass(objects), storageProtection, claimResize(objects), runtimeClass(objects), defaultIngressClass(objects), deviceAccess(objects), allocation,
      mutatingWebhooks(objects, webhooks), this.#policies, validatingWebhooks(objects, webhooks),
      // Counts last, when nobody can refuse any more.
      this.#quota,
    ]);
  }

  /** Finds the quotas that there are; before the first write. */
  load(): Promise<void> {
    return this.#quota.load();
  }

  /** Keeps the status of quotas and policies. */
  async start(client: (user: User) => ApiClient, signal: AbortSignal): Promise<void> {
    const tasks = new TaskGroup(this.#log);
    const controller = (name: string): ApiClient => client({ name: `system:serviceaccount:kube-system:${name}`, groups: ['system:masters'] });
    tasks.run('resource quotas', signal, () => this.#quota.start(controller('resourcequota-controller'), signal));
    tasks.run('admission policies', signal, () => this.#policies.start(controller('validatingadmissionpolicy-status-controller'), signal));
    await tasks.drain();
  }
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => made ??= make();
}
