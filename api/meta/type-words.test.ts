import { expect, it } from 'vitest';
import { decode } from '../kinds/engine.ts';
import { kinds } from '../kinds/registry.ts';

/** As kubectl's users know them. */
it.each([
  ['deployments.apps', { spec: { replicas: 'a' } }, 'string into Go struct field DeploymentSpec.spec.replicas of type int32'],
  ['deployments.apps', { spec: { replicas: 1.5 } }, 'number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32'],
  ['deployments.apps', { spec: { template: { spec: { containers: [{ name: 'c' }, { env: [{ name: 'a', value: 1 }] }] } } } }, 'number into Go struct field EnvVar.spec.template.spec.containers.env.value of type string'],
  ['pods', { spec: { containers: {} } }, 'object into Go struct field PodSpec.spec.containers of type []v1.Container'],
  ['pods', { spec: 'x' }, 'string into Go struct field Pod.spec of type v1.PodSpec'],
  ['pods', { spec: { hostNetwork: 'yes', containers: [{ args: 'x' }] } }, 'string into Go struct field PodSpec.spec.hostNetwork of type bool'],
  ['configmaps', { data: { 'a.b': 5 } }, 'number into Go struct field ConfigMap.data of type string'],
  ['configmaps', { data: ['a'] }, 'array into Go struct field ConfigMap.data of type map[string]string'],
  ['configmaps', { metadata: { labels: { a: true } } }, 'bool into Go struct field ObjectMeta.metadata.labels of type string'],
  ['configmaps', { metadata: { creationTimestamp: 5 } }, 'number into Go value of type string'],
])('%s %j', (name, value, words) => {
  const kind = kinds[name];
  if (!kind) throw new Error(name);
  expect(() => decode(kind, value)).toThrow(new RegExp(`^${kind.resource.kind} in version "v1" cannot be handled as a ${kind.resource.kind}: json: cannot unmarshal ${words.replaceAll(/[[\]().]/g, String.raw`\$&`)}$`));
});
