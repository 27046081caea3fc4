import type { CronJob, PodTemplateSpec } from '#api/gen/types.ts';
import type { KubeObject } from '#api/meta/object.ts';

type TemplateOf = (object: KubeObject) => PodTemplateSpec | undefined;

const templates = new Map<string, TemplateOf>([
  ...['deployments.apps', 'replicasets.apps', 'statefulsets.apps', 'daemonsets.apps', 'jobs.batch', 'replicationcontrollers'].map((name): [string, TemplateOf] => [name, (object) => (object as { spec?: { template?: PodTemplateSpec } }).spec?.template]),
  ['cronjobs.batch', (object) => (object as CronJob).spec?.jobTemplate?.spec?.template],
  ['podtemplates', (object) => (object as { template?: PodTemplateSpec }).template],
]);

/** Where the pod is in objects of a kind that makes pods, by qualified resource name; undefined for other kinds. */
export function podTemplateOf(resource: string): TemplateOf | undefined {
  return templates.get(resource);
}
