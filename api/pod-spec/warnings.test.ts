import { describe, expect, it } from 'vitest';
import type { PodSpec } from '../gen/types.ts';
import { kinds } from '../kinds/registry.ts';
import type { KubeObject } from '../meta/object.ts';
import { podWarnings, templateWarnings } from './warnings.ts';

const of = (spec: Partial<PodSpec>, annotations: Record<string, string> = {}): string[] => podWarnings({ annotations }, { containers: [{ name: 'a', image: 'i' }], ...spec });
const ports = (...ports: object[]): Partial<PodSpec> => ({ containers: [{ name: 'a', image: 'i', ports: ports as { containerPort: number }[] }] });
const selector = { matchLabels: { a: 'b' } };

describe('a pod is warned of', () => {
  it.each<[string, string[], string[]]>([
    ['where it wants to go', of({
      affinity: {
        nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1, preference: { matchExpressions: [{ key: 'beta.kubernetes.io/arch', operator: 'Exists' }] } }] },
        podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'a' }], preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1, podAffinityTerm: { topologyKey: 'a', labelSelector: selector } }] },
      },
      topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'failure-domain.beta.kubernetes.io/zone', whenUnsatisfiable: 'DoNotSchedule' }],
    }), [
      'spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].key: beta.kubernetes.io/arch is deprecated since v1.14; use "kubernetes.io/arch" instead',
      'spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
      'spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod',
      'spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: a null labelSelector results in matching no pod',
    ]],
    ['what it says twice', of({ containers: [{ name: 'a', image: 'i', env: [{ name: 'P', value: '/bin' }, { name: 'P', value: '$(P):/sbin' }, { name: 'Q', value: '1' }, { name: 'Q', value: '$(Q)' }] }] }), ['spec.containers[0].env[3]: hides previous definition of "Q", which may be dropped when using apply']],
    ['ports that clash', of(ports({ containerPort: 80, hostPort: 80, protocol: 'TCP' }, { containerPort: 80, protocol: 'TCP' }, { containerPort: 80, hostPort: 80, hostIP: '10.0.0.1', protocol: 'TCP' }, { containerPort: 81, hostIP: '10.0.0.1', protocol: 'TCP' })), [
      'spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]',
      'spec.containers[0].ports[2]: dangerously ambiguous port definition with spec.containers[0].ports[0]', 'spec.containers[0].ports[2]: overlapping port definition with spec.containers[0].ports[1]',
      'spec.containers[0].ports[3]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:81 Protocol:TCP HostIP:10.0.0.1}',
    ]],
    ['what nobody reads any more', of({ securityContext: { appArmorProfile: { type: 'Unconfined' } } }, { 'seccomp.security.alpha.kubernetes.io/pod': 'x', 'container.apparmor.security.beta.kubernetes.io/a': 'x' }), ['metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use the "seccompProfile" field instead']],
    ['its template', templateWarnings({ spec: { containers: [], overhead: { memory: '1m' } } }, 'spec.template'), ['spec.template.spec.overhead[memory]: fractional byte value "1m" is invalid, must be an integer']],
  ])('%s', (_, told, wanted) => { expect(told).toEqual(wanted); });
});

it.each<[string, object, string[]]>([
  ['services', { spec: { type: 'ClusterIP', clusterIP: 'None', sessionAffinity: 'ClientIP' } }, ['spec.SessionAffinity is ignored for headless services']],
  ['services', { spec: { type: 'LoadBalancer', clusterIPs: ['fd00:0::1', '10.0.0.1'], loadBalancerSourceRanges: ['fd00:0::/64'] } }, [
    'spec.clusterIPs[0]: IPv6 address "fd00:0::1" should be in RFC 5952 canonical format ("fd00::1")', 'spec.loadBalancerSourceRanges[0]: IPv6 CIDR value "fd00:0::/64" should be in RFC 5952 canonical format ("fd00::/64")',
  ]],
  ['networkpolicies.networking.k8s.io', { spec: { egress: [{ to: [{ ipBlock: { cidr: '10.0.0.5/8', except: ['10.1.0.0/16'] } }] }] } }, ['spec.egress[0].to[0].ipBlock.cidr: CIDR value "10.0.0.5/8" is ambiguous in this context (should be "10.0.0.0/8" or "10.0.0.5/32"?)']],
  ['ingresses.networking.k8s.io', { metadata: { annotations: { 'kubernetes.io/ingress.class': 'x' } }, spec: {} }, ['annotation "kubernetes.io/ingress.class" is deprecated, please use \'spec.ingressClassName\' instead']],
  ['storageclasses.storage.k8s.io', { allowedTopologies: [{ matchLabelExpressions: [{ key: 'beta.kubernetes.io/os', values: ['a'] }] }] }, ['allowedTopologies[0].matchLabelExpressions[0].key: beta.kubernetes.io/os is deprecated since v1.14; use "kubernetes.io/os" instead']],
  ['runtimeclasses.node.k8s.io', { scheduling: { nodeSelector: { 'beta.kubernetes.io/os': 'a' } } }, ['scheduling.nodeSelector: deprecated since v1.14; use "kubernetes.io/os" instead']],
  ['persistentvolumes', { spec: { cephfs: { monitors: [] } } }, ['spec.cephfs: deprecated in v1.28, non-functional in v1.31+']],
])('writers of %s are warned', (name, object, wanted) => {
  const kind = Object.values(kinds).find(({ resource }) => [resource.plural, resource.group].filter(Boolean).join('.') === name);
  expect(kind?.warnings?.(object as KubeObject, undefined)).toEqual(wanted);
});
