import type { Pod, PodTemplateSpec } from '#api/gen/types.ts';
import { apiVersionOf, pods, type Resource } from '#api/kinds/resources.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { controllerReference } from './owner-refs.ts';

/** A pod of `owner` from its template; the API gives it its name and its defaults. */
export function podFromTemplate(resource: Resource, owner: KubeObject, template: PodTemplateSpec | undefined): Pod {
  const { labels, annotations, finalizers } = template?.metadata ?? {};
  return {
    apiVersion: apiVersionOf(pods), kind: pods.kind,
    metadata: {
      generateName: `${owner.metadata?.name ?? ''}-`,
      namespace: owner.metadata?.namespace,
      ...(labels && { labels }), ...(annotations && { annotations }), ...(finalizers && { finalizers }),
      ownerReferences: [controllerReference(resource, owner)],
    },
    ...(template?.spec && { spec: template.spec }),
  };
}
