import type { Pod, PodSpec, RuntimeClass, Toleration } from '#api/gen/types.ts';
import { pods, qualifiedName, runtimeClasses } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { copyJson } from '#api/meta/json.ts';
import { compareQuantities } from '#api/meta/quantity.ts';
import { forbidden } from '../api-errors.ts';
import type { StoredObjects } from './stored-objects.ts';
import type { AdmissionPlugin } from './types.ts';

/** What the runtime of a pod costs beside its containers, and where it can run at all. */
export function runtimeClass(objects: StoredObjects): AdmissionPlugin {
  return {
    name: 'RuntimeClass',
    async admit({ operation, kind, subresource, name, object }) {
      const spec = (object as Pod | undefined)?.spec;
      if (operation !== 'create' || subresource !== undefined || qualifiedName(kind.resource) !== 'pods' || !spec) return;
      const refuse = (why: string): Error => forbidden(pods, name, why);
      if (!spec.runtimeClassName) {
        if (spec.overhead !== undefined && Object.keys(spec.overhead).length > 0) throw refuse('pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead');
        return;
      }
      const found = await objects.get(runtimeClasses, undefined, spec.runtimeClassName);
      if (!found) throw refuse(`pod rejected: RuntimeClass "${spec.runtimeClassName}" not found`);
      setOverhead(spec, found, refuse);
      setScheduling(spec, found, refuse);
    },
  };
}

function setOverhead(spec: PodSpec, { overhead }: RuntimeClass, refuse: (why: string) => Error): void {
  const fixed = overhead?.podFixed ?? {};
  if (spec.overhead !== undefined && Object.keys(spec.overhead).length > 0 && !sameQuantities(spec.overhead, fixed)) throw refuse("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
  if (overhead?.podFixed !== undefined) spec.overhead = { ...fixed };
}

function sameQuantities(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => compareQuantities(a[name] ?? '0', b[name] ?? '0') === 0 && Object.hasOwn(b, name));
}

function setScheduling(spec: PodSpec, { scheduling }: RuntimeClass, refuse: (why: string) => Error): void {
  for (const [key, value] of Object.entries(scheduling?.nodeSelector ?? {})) {
    const given = spec.nodeSelector?.[key];
    if (given !== undefined && given !== value) throw refuse(`conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${given}`);
    spec.nodeSelector = { ...spec.nodeSelector, [key]: value };
  }
  const missing = (scheduling?.tolerations ?? []).filter((toleration) => !(spec.tolerations ?? []).some((own: Toleration) => equal(own, toleration)));
  if (missing.length > 0) spec.tolerations = [...spec.tolerations ?? [], ...copyJson(missing)];
}
