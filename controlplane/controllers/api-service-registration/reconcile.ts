import type { APIService, CustomResourceDefinition } from '#api/gen/types.ts';
import { apiServices, type Resource } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { computedGroupVersions, localPriority } from '#api/meta/group-priorities.ts';
import type { Action } from '../types.ts';

interface GroupVersion { readonly group: string; readonly version: string }
/** Kubernetes' words for how an APIService is kept: at the start only, so that somebody may take it over, or always. */
type Managed = 'onstart' | 'true';

export const managedLabel = 'kube-aggregator.kubernetes.io/automanaged';

/** By name: the group versions that are always served here. The one of APIServices itself has none, as with Kubernetes. */
export function builtInServices(resources: readonly Resource[]): Map<string, APIService> {
  const all = [...resources, ...computedGroupVersions].filter(({ group }) => group !== apiServices.group);
  return new Map(all.map((one) => [nameOf(one), localService(one, 'onstart')]));
}

/** What a definition lets be served under this name. */
export function customService(name: string, definitions: readonly CustomResourceDefinition[]): APIService | undefined {
  const found = definitions.flatMap(({ spec }) => spec.versions.filter(({ served }) => served).map((version) => ({ group: spec.group, version: version.name }))).find((one) => nameOf(one) === name);
  return found && localService(found, 'true');
}

export function namesOf({ spec }: CustomResourceDefinition): string[] {
  return spec.versions.map((version) => nameOf({ group: spec.group, version: version.name }));
}

/** Somebody else's object, which has no label of ours or points to another server, is left alone. */
export function reconcile(wanted: APIService | undefined, current: APIService | undefined): Action[] {
  if (!current) return wanted ? [{ type: 'create', resource: apiServices, object: wanted }] : [];
  const managed = current.metadata?.labels?.[managedLabel];
  if (!wanted) return managed === 'true' ? [{ type: 'delete', resource: apiServices, object: current }] : [];
  if (managed !== wanted.metadata?.labels?.[managedLabel] || (managed === 'onstart' && current.spec?.service) || equal(current.spec, wanted.spec)) return [];
  return [{ type: 'update', resource: apiServices, object: { ...current, spec: wanted.spec } as APIService }];
}

function nameOf({ group, version }: GroupVersion): string {
  return `${version}.${group}`;
}

function localService({ group, version }: GroupVersion, managed: Managed): APIService {
  return {
    apiVersion: 'apiregistration.k8s.io/v1', kind: apiServices.kind, metadata: { name: nameOf({ group, version }), labels: { [managedLabel]: managed } },
    spec: { ...(group !== '' && { group }), version, ...localPriority(group, version) },
  };
}
