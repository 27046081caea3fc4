import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Node, Pod, PodAffinityTerm, PodSpec, Taint, TopologySpreadConstraint } from '#api/gen/types.ts';
import { propertyRuns } from '#test/support/chaos.ts';
import { schedule } from './cycle.ts';
import { Framework } from './framework.ts';
import { Nominator } from './nominator.ts';
import { objections, type World } from './oracle.ts';
import { podInfo } from './pod-info.ts';
import { schedulerPlugins } from './registry.ts';
import { cluster, fakeApi, FakeInformer, node, pod } from './testing.ts';

/** Decisions on random clusters, held against a naive reading of the documentation. */
const key = fc.constantFrom('zone', 'kubernetes.io/hostname');
const app = fc.constantFrom('a', 'b');
/** Mostly absent, or hardly a pod could go anywhere. */
const rarely = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value });

const term: fc.Arbitrary<PodAffinityTerm> = fc.record({
  topologyKey: key, labelSelector: app.map((name) => ({ matchLabels: { app: name } })),
  namespaces: rarely(fc.constant<string[]>(['other'])), namespaceSelector: rarely(fc.constantFrom({}, { matchLabels: { team: 'x' } })),
  matchLabelKeys: rarely(fc.constant<string[]>(['rev'])), mismatchLabelKeys: rarely(fc.constant<string[]>(['rev'])),
});
const terms = rarely(fc.array(term, { minLength: 1, maxLength: 2 })).map((list) => list && { requiredDuringSchedulingIgnoredDuringExecution: list });
const spreading: fc.Arbitrary<TopologySpreadConstraint> = fc.record({
  topologyKey: key, maxSkew: fc.integer({ min: 1, max: 2 }), whenUnsatisfiable: fc.constantFrom('DoNotSchedule', 'ScheduleAnyway'),
  labelSelector: app.map((name) => ({ matchLabels: { app: name } })), minDomains: rarely(fc.integer({ min: 1, max: 4 })),
  matchLabelKeys: rarely(fc.constant<string[]>(['rev'])), nodeAffinityPolicy: rarely(fc.constantFrom('Honor', 'Ignore')), nodeTaintsPolicy: rarely(fc.constantFrom('Honor', 'Ignore')),
}).map((one) => (one.whenUnsatisfiable === 'DoNotSchedule' ? one : { ...one, minDomains: undefined }));
const nodeAffinity = rarely(fc.constantFrom('In', 'NotIn', 'Exists').map((operator) => ({
  requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'disk', operator, values: operator === 'Exists' ? [] : ['ssd'] }] }] },
})));

const spec: fc.Arbitrary<Partial<PodSpec>> = fc.record({
  priority: fc.integer({ min: 0, max: 3 }), preemptionPolicy: rarely(fc.constant('Never')),
  tolerations: rarely(fc.constantFrom([{ operator: 'Exists' }], [{ key: 'k', value: 'v' }])),
  nodeSelector: rarely(fc.constant({ zone: 'x' })),
  affinity: fc.record({ nodeAffinity, podAffinity: terms, podAntiAffinity: terms }),
  topologySpreadConstraints: rarely(fc.uniqueArray(spreading, { minLength: 1, maxLength: 2, selector: (one) => one.topologyKey })),
});
const anyPod = fc.record({
  cpu: fc.integer({ min: 0, max: 3 }), hostPort: rarely(fc.constantFrom(80, 81)), namespace: fc.constantFrom('default', 'default', 'other'),
  labels: fc.record({ app, rev: fc.constantFrom('1', '2') }), spec,
}).map(({ cpu, ...rest }) => (name: string): Pod => pod({ name, requests: { cpu: String(cpu) }, ...clean(rest) }));
const anyNode = fc.record({
  zone: rarely(fc.constantFrom('x', 'y', 'z')), disk: rarely(fc.constantFrom('ssd', 'hdd')), cpu: fc.integer({ min: 1, max: 6 }), pods: fc.integer({ min: 1, max: 4 }),
  unschedulable: rarely(fc.constant(true)), taints: rarely(fc.constant<Taint[]>([{ key: 'k', value: 'v', effect: 'NoSchedule' }])),
});

/** Absent fields are absent, as in decoded JSON. */
function clean<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return JSON.parse(JSON.stringify(value)) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

interface Case { readonly nodes: Node[]; readonly pods: Pod[] }
const cases: fc.Arbitrary<Case> = fc.record({
  nodes: fc.array(anyNode, { minLength: 1, maxLength: 5, size: 'max' }).map((list) => list.map(({ zone, disk, cpu, pods, ...rest }, i) => node(`n${String(i)}`, clean({
    ...rest, labels: { ...(zone && { zone }), ...(disk && { disk }) }, allocatable: { cpu: String(cpu), pods: String(pods) },
  })))),
  pods: fc.array(anyPod, { minLength: 1, maxLength: 25, size: 'max' }).map((list) => list.map((make, i) => make(`p${String(i)}`))),
});

const namespaces = { default: {}, other: { team: 'x' } };
const random = fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true }));

test('a pod goes only where it may, waits only when it may go nowhere, and pushes out only what is less important', () => {
  fc.assert(fc.property(cases, random, ({ nodes, pods }, numbers) => {
    const next = (): number => numbers.next().value ?? 0;
    const framework = new Framework(Object.values(schedulerPlugins).map((make) => make({ api: fakeApi(new FakeInformer<Pod>()), budgets: { list: () => [] } })));
    const cache = cluster({ nodes, namespaces });
    const nominator = new Nominator();
    let placed: Pod[] = [];
    for (const incoming of pods) {
      const world: World = { nodes, placed, namespaces };
      const allowed = nodes.filter((one) => objections(world, incoming, one).length === 0).map((one) => one.metadata?.name);
      const decision = schedule({ framework, nominator, random: next }, cache, podInfo(incoming), 0);
      if (decision.type === 'fit') {
        expect(allowed).toContain(decision.node.name);
        const bound: Pod = { ...incoming, spec: { containers: [], ...incoming.spec, nodeName: decision.node.name } };
        cache.setPod(podInfo(bound), decision.node.name);
        placed = [...placed, bound];
        continue;
      }
      expect(allowed).toEqual([]);
      if (decision.nomination === undefined || decision.nomination === 'keep') continue;
      const { nodeName, victims } = decision.nomination;
      expect(incoming.spec?.preemptionPolicy).not.toBe('Never');
      for (const victim of victims) expect(victim.priority).toBeLessThan(incoming.spec?.priority ?? 0);
      const without = placed.filter((other) => !victims.some(({ uid }) => uid === other.metadata?.uid));
      expect(objections({ nodes, placed: without, namespaces }, incoming, nodes.find((one) => one.metadata?.name === nodeName)!), 'after the preemption').toEqual([]);
      for (const { uid } of victims) cache.removePod(uid);
      placed = without;
    }
  }), propertyRuns(400));
}, 300_000);
