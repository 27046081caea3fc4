import type { Clock } from '#common/clock.ts';
import type { Store } from '#controlplane/store/types.ts';
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

export interface AdmissionDeps {
  readonly store: Store;
  readonly clock: Clock;
  /** Who may do what with which object, beyond what a role can say. */
  readonly access: readonly AdmissionPlugin[];
  readonly allocation: AdmissionPlugin;
  readonly quota: AdmissionPlugin;
}

/** All plugins, in Kubernetes' order. */
export function admissionPlugins({ store, clock, access, allocation, quota }: AdmissionDeps, config: PodDefaultsConfig): AdmissionPlugin[] {
  const objects = new StoredObjects(store);
  return [
    namespaceLifecycle(store), limitRanger(objects), serviceAccount(store, clock), ...access, podSecurity(objects), priority(objects), podDefaults(config),
    defaultStorageClass(objects), claimResize(objects), runtimeClass(objects), defaultIngressClass(objects),
    // Last come those that count, when nothing can go wrong any more.
    allocation, quota,
  ];
}
