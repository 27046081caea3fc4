import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { messageOf, StatusError } from '#common/errors.ts';
import { isMap } from './plugin-args.ts';
import { extensionPoints, type PluginRef, type PluginSet, type Profile } from './profile.ts';
import { defaultSchedulerConfig, type SchedulerConfig } from './scheduler.ts';

type Values = Readonly<Record<string, unknown>>;

const apiVersion = 'kubescheduler.config.k8s.io/v1';
/** Of a scheduler in a process of its own; there is none here. */
const withoutMeaning = ['parallelism', 'leaderElection', 'clientConnection', 'enableProfiling', 'enableContentionProfiling', 'delayCacheUntilActive', 'healthzBindAddress', 'metricsBindAddress'];
const points = ['multiPoint', ...extensionPoints] as const;

/** Reads a KubeSchedulerConfiguration: https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/ */
export async function readSchedulerConfig(path: string): Promise<SchedulerConfig> {
  try {
    return parseSchedulerConfig(await readFile(path, 'utf8'));
  } catch (error) {
    throw new StatusError('Invalid', `--scheduler-config ${path}: ${messageOf(error)}`, { cause: error });
  }
}

export function parseSchedulerConfig(text: string): SchedulerConfig {
  const file = map('the file', parse(text));
  known('', file, ['apiVersion', 'kind', 'percentageOfNodesToScore', 'podInitialBackoffSeconds', 'podMaxBackoffSeconds', 'profiles', ...withoutMeaning]);
  if (file['apiVersion'] !== apiVersion || file['kind'] !== 'KubeSchedulerConfiguration') throw invalid('', `must be a KubeSchedulerConfiguration of ${apiVersion}`);
  const percentageOfNodesToScore = percentage('percentageOfNodesToScore', file['percentageOfNodesToScore']) ?? 0;
  const initialSeconds = seconds('podInitialBackoffSeconds', file['podInitialBackoffSeconds'], 1);
  const maxSeconds = seconds('podMaxBackoffSeconds', file['podMaxBackoffSeconds'], 10);
  if (maxSeconds < initialSeconds) throw invalid('podMaxBackoffSeconds', 'must not be less than podInitialBackoffSeconds');
  const profiles = (list('profiles', file['profiles']) ?? [{}]).map((item, i) => ({ percentageOfNodesToScore, ...profileOf(`profiles[${String(i)}]`, map(`profiles[${String(i)}]`, item)) }));
  if (profiles.length === 0) throw invalid('profiles', 'must have one at least');
  const names = profiles.map(({ schedulerName }) => schedulerName);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw invalid('profiles', `has schedulerName ${twice} twice`);
  return { ...defaultSchedulerConfig, profiles, queue: { ...defaultSchedulerConfig.queue, initialBackoffMs: initialSeconds * 1000, maxBackoffMs: maxSeconds * 1000 } };
}

function profileOf(field: string, values: Values): Profile & { readonly schedulerName: string } {
  known(field, values, ['schedulerName', 'percentageOfNodesToScore', 'plugins', 'pluginConfig']);
  const { schedulerName = 'default-scheduler' } = values;
  if (typeof schedulerName !== 'string' || schedulerName === '') throw invalid(`${field}.schedulerName`, 'must be a name');
  const plugins = map(`${field}.plugins`, values['plugins'] ?? {});
  known(`${field}.plugins`, plugins, points);
  const own = percentage(`${field}.percentageOfNodesToScore`, values['percentageOfNodesToScore']);
  return {
    schedulerName, ...(own !== undefined && { percentageOfNodesToScore: own }),
    plugins: Object.fromEntries(Object.entries(plugins).map(([point, set]) => [point, pluginSet(`${field}.plugins.${point}`, map(`${field}.plugins.${point}`, set))])),
    pluginConfig: pluginConfig(`${field}.pluginConfig`, list(`${field}.pluginConfig`, values['pluginConfig']) ?? []),
  };
}

function pluginSet(field: string, values: Values): PluginSet {
  known(field, values, ['enabled', 'disabled']);
  const refs = (part: 'enabled' | 'disabled'): PluginRef[] => (list(`${field}.${part}`, values[part]) ?? []).map((item, i) => {
    const at = `${field}.${part}[${String(i)}]`;
    const { name, weight = 0, ...rest } = map(at, item);
    known(at, rest, []);
    if (typeof name !== 'string' || name === '') throw invalid(`${at}.name`, 'is required');
    return { name, weight: whole(`${at}.weight`, weight, 0, 2 ** 31) };
  });
  return { enabled: refs('enabled'), disabled: refs('disabled') };
}

function pluginConfig(field: string, items: readonly unknown[]): ReadonlyMap<string, unknown> {
  const found = new Map<string, unknown>();
  for (const [i, item] of items.entries()) {
    const at = `${field}[${String(i)}]`;
    const { name, args = {}, ...rest } = map(at, item);
    known(at, rest, []);
    if (typeof name !== 'string' || name === '') throw invalid(`${at}.name`, 'is required');
    if (found.has(name)) throw invalid(at, `configures ${name} a second time`);
    found.set(name, args);
  }
  return found;
}

function percentage(field: string, value: unknown): number | undefined {
  return value === undefined ? undefined : whole(field, value, 0, 100);
}

function seconds(field: string, value: unknown, absent: number): number {
  return value === undefined ? absent : whole(field, value, 1, 86_400);
}

function whole(field: string, value: unknown, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) throw invalid(field, `must be a whole number from ${String(min)} to ${String(max)}`);
  return value;
}

function list(field: string, value: unknown): readonly unknown[] | undefined {
  if (value !== undefined && value !== null && !Array.isArray(value)) throw invalid(field, 'must be a list');
  return value ?? undefined;
}

function map(field: string, value: unknown): Values {
  if (!isMap(value)) throw invalid(field, 'must be a map');
  return value;
}

function known(field: string, values: Values, names: readonly string[]): void {
  const unknown = Object.keys(values).find((name) => !names.includes(name));
  if (unknown !== undefined) throw invalid(field === '' ? unknown : `${field}.${unknown}`, 'is unknown');
}

function invalid(field: string, why: string): StatusError {
  return new StatusError('Invalid', field === '' ? why : `${field} ${why}`);
}
