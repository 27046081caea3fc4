import { describe, expect, test } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import { parseSchedulerConfig } from './configuration.ts';
import { Framework } from './framework.ts';
import { checkProfile } from './profile.ts';
import { schedulerPlugins } from './registry.ts';
import { fakeApi, FakeInformer } from './testing.ts';

const head = 'apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n';
const profile = (text: string) => parseSchedulerConfig(`${head}profiles: [${text}]`).profiles[0]!;
function frameworkOf(text: string): Framework {
  const parsed = profile(text);
  const plugins = Object.values(schedulerPlugins).map((make) => make({ api: fakeApi(new FakeInformer<Pod>()), args: parsed.pluginConfig }));
  checkProfile(parsed, plugins);
  return new Framework(plugins, parsed);
}
const weights = (framework: Framework) => Object.fromEntries(framework.score.map(({ plugin, weight }) => [plugin.name, weight]));

describe('KubeSchedulerConfiguration', () => {
  test('says what is not said', () => {
    expect(parseSchedulerConfig(head)).toMatchObject({ profiles: [{ schedulerName: 'default-scheduler', percentageOfNodesToScore: 0 }], queue: { initialBackoffMs: 1000, maxBackoffMs: 10_000, flushAfterMs: 300_000 } });
  });

  test('profiles, percentages and back-off', () => {
    const config = parseSchedulerConfig(`${head}percentageOfNodesToScore: 30\npodInitialBackoffSeconds: 2\npodMaxBackoffSeconds: 20\nleaderElection: { leaderElect: true }\nprofiles: [{ schedulerName: a }, { schedulerName: b, percentageOfNodesToScore: 80 }]`);
    expect(config.profiles.map(({ schedulerName, percentageOfNodesToScore }) => [schedulerName, percentageOfNodesToScore])).toEqual([['a', 30], ['b', 80]]);
    expect(config.queue).toMatchObject({ initialBackoffMs: 2000, maxBackoffMs: 20_000 });
  });

  test('the weights of Kubernetes', () => {
    expect(weights(frameworkOf('{}'))).toEqual({ TaintToleration: 3, NodeAffinity: 2, NodeResourcesFit: 1, PodTopologySpread: 2, InterPodAffinity: 2, NodeResourcesBalancedAllocation: 1, ImageLocality: 1 });
  });

  test.each<[string, string, Record<string, number>]>([
    ['one weight', 'plugins: { score: { enabled: [{ name: ImageLocality, weight: 7 }] } }', { ImageLocality: 7, TaintToleration: 3 }],
    ['all off but one', 'plugins: { score: { disabled: [{ name: "*" }], enabled: [{ name: NodeResourcesFit, weight: 5 }] } }', { NodeResourcesFit: 5 }],
    ['multiPoint', 'plugins: { multiPoint: { disabled: [{ name: ImageLocality }, { name: PodTopologySpread }, { name: InterPodAffinity }, { name: NodeAffinity }, { name: TaintToleration }] }, score: { enabled: [{ name: NodeResourcesBalancedAllocation, weight: 2 }] } }', { NodeResourcesFit: 1, NodeResourcesBalancedAllocation: 2 }],
  ])('%s', (_, text, expected) => { expect(weights(frameworkOf(`{ ${text} }`))).toMatchObject(expected); });

  test('a plugin that is off is off where it was said', () => {
    const framework = frameworkOf('{ plugins: { filter: { disabled: [{ name: NodeResourcesFit }] }, postFilter: { disabled: [{ name: "*" }] } } }');
    expect(framework.filter.map(({ name }) => name)).not.toContain('NodeResourcesFit');
    expect(Object.keys(weights(framework))).toContain('NodeResourcesFit');
    expect(framework.postFilter).toEqual([]);
  });

  test.each([
    ['apiVersion: v1\nkind: Pod', 'must be a KubeSchedulerConfiguration'],
    [`${head}extenders: []`, 'extenders is unknown'],
    [`${head}profiles: []`, 'profiles must have one at least'],
    [`${head}profiles: [{}, {}]`, 'profiles has schedulerName default-scheduler twice'],
    [`${head}profiles: [{ plugins: { sort: {} } }]`, 'profiles[0].plugins.sort is unknown'],
    [`${head}profiles: [{ plugins: { score: { enabled: [{ weight: 1 }] } } }]`, 'profiles[0].plugins.score.enabled[0].name is required'],
    [`${head}percentageOfNodesToScore: 101`, 'percentageOfNodesToScore must be a whole number from 0 to 100'],
    [`${head}podInitialBackoffSeconds: 20`, 'podMaxBackoffSeconds must not be less than podInitialBackoffSeconds'],
    [`${head}profiles: [{ pluginConfig: [{ name: A }, { name: A }] }]`, 'profiles[0].pluginConfig[1] configures A a second time'],
  ])('refuses %j', (text, why) => { expect(() => parseSchedulerConfig(text)).toThrow(why); });

  test.each([
    ['plugins: { filter: { enabled: [{ name: Nonsense }] } }', 'plugins.filter names Nonsense; there are '],
    ['plugins: { permit: { enabled: [{ name: NodeName }] } }', 'plugins.permit enables NodeName, which does nothing there'],
    ['plugins: { bind: { disabled: [{ name: "*" }] } }', 'one plugin at least must be enabled at bind'],
    ['plugins: { multiPoint: { disabled: [{ name: PrioritySort }] } }', 'exactly one plugin must be enabled at queueSort'],
    ['pluginConfig: [{ name: Nonsense }]', 'pluginConfig is for Nonsense'],
    ['pluginConfig: [{ name: NodeResourcesFit, args: { strategy: x } }]', 'pluginConfig of NodeResourcesFit: strategy is unknown; there are scoringStrategy'],
    ['pluginConfig: [{ name: NodeResourcesFit, args: { scoringStrategy: { type: Best } } }]', 'scoringStrategy.type must be LeastAllocated, MostAllocated or RequestedToCapacityRatio'],
    ['pluginConfig: [{ name: NodeResourcesFit, args: { scoringStrategy: { type: RequestedToCapacityRatio } } }]', 'requestedToCapacityRatio.shape is required'],
    ['pluginConfig: [{ name: DefaultPreemption, args: { minCandidateNodesPercentage: 200 } }]', 'minCandidateNodesPercentage must be a whole number from 0 to 100'],
    ['pluginConfig: [{ name: PodTopologySpread, args: { defaultConstraints: [{ topologyKey: z, maxSkew: 1, whenUnsatisfiable: ScheduleAnyway }] } }]', 'defaultConstraints may be given only with defaultingType List'],
    ['pluginConfig: [{ name: InterPodAffinity, args: { hardPodAffinityWeight: 101 } }]', 'hardPodAffinityWeight must be a whole number from 0 to 100'],
  ])('refuses { %s }', (text, why) => { expect(() => frameworkOf(`{ ${text} }`)).toThrow(why); });
});
