import type { Pod } from '#api/gen/types.ts';
import { disconnectAnnotationsOf, disconnectProblems, type Annotations } from '#api/disconnect/policy.ts';
import { namespaces, qualifiedName } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { forbidden as forbiddenField, invalid as invalidField } from '#api/meta/field-error.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { invalid } from '../api-errors.ts';
import { podTemplateOf } from './pod-templates.ts';
import type { StoredObjects } from './stored-objects.ts';
import type { AdmissionPlugin, AdmissionRequest } from './types.ts';

/**
 * What becomes of pods whose host disconnects: a pod without a word of its own takes its namespace's when it is made.
 * Once it is bound the policy stays: its host may be away, and would go on by the old one.
 */
export function disconnectPolicy(objects: StoredObjects): AdmissionPlugin {
  return {
    name: 'DisconnectPolicy',
    async admit({ operation, kind, subresource, namespace, object }) {
      if (operation !== 'create' || subresource !== undefined || !namespace || !object || qualifiedName(kind.resource) !== 'pods') return;
      if (hasOwn(object.metadata?.annotations)) return;
      const inherited = disconnectAnnotationsOf((await objects.get(namespaces, undefined, namespace))?.metadata?.annotations);
      if (Object.keys(inherited).length > 0) object.metadata = { ...object.metadata, annotations: { ...object.metadata?.annotations, ...inherited } };
    },
    validate(request) {
      if (request.operation !== 'create' && request.operation !== 'update') return;
      if (request.subresource !== undefined || !request.object) return;
      check(request, request.object);
    },
  };
}

function check({ kind, name, old }: AdmissionRequest, object: KubeObject): void {
  const resource = qualifiedName(kind.resource);
  const template = podTemplateOf(resource);
  if (resource !== 'pods' && resource !== 'namespaces' && !template) return;
  const [now, before] = [object, old].map((o) => o && (template ? template(o) : o)?.metadata?.annotations);
  if (old ? equal(disconnectAnnotationsOf(now), disconnectAnnotationsOf(before)) : !hasOwn(now)) return;
  const field = (key: string): string => `${template ? pathOf(resource) : ''}metadata.annotations[${key}]`;
  const errors = disconnectProblems(now).map(({ key, value, problem }) => invalidField(field(key), value, problem));
  if (resource === 'pods' && (old as Pod | undefined)?.spec?.nodeName) {
    errors.push(forbiddenField('metadata.annotations', 'the disconnect policy of a pod may not change once the pod is bound: its host may be away and would go by the old one'));
  }
  if (errors.length > 0) throw invalid(kind.resource, name, errors);
}

function hasOwn(annotations: Annotations): boolean {
  return Object.keys(disconnectAnnotationsOf(annotations)).length > 0;
}

function pathOf(resource: string): string {
  if (resource === 'podtemplates') return 'template.';
  return resource === 'cronjobs.batch' ? 'spec.jobTemplate.spec.template.' : 'spec.template.';
}
