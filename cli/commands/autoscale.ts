import { StatusError } from '#common/errors.ts';
import { isQuantity, parseQuantity } from '#api/meta/quantity.ts';
import type { RestClient } from '../client.ts';
import { clusterCommand } from '../cluster-command.ts';
import { submit, submitFlags } from '../create/submit.ts';
import { eachOf } from '../each.ts';
import { report } from '../error-text.ts';
import { refuse, type Flag, type ParsedFlags } from '../flags.ts';
import type { Manifest } from '../manifests.ts';
import { pathOf, resolveResource, type ResourceType } from '../resources.ts';
import { fileFlags, readTargets } from '../targets.ts';

const flags: readonly Flag[] = [
  ...fileFlags,
  { name: 'min', type: 'int', default: '-1', description: 'at least so many pods; 1 when not given' },
  { name: 'max', type: 'int', default: '-1', description: 'at most so many pods; required' },
  { name: 'cpu', type: 'string', description: 'CPU to aim at, over all pods: 70% of what they ask for, or an amount each, 500m' },
  { name: 'memory', type: 'string', description: 'memory to aim at, likewise: 60%, or 200Mi' },
  { name: 'cpu-percent', type: 'int', default: '-1', description: 'older words for --cpu=N%' },
  { name: 'name', type: 'string', description: "name of the autoscaler; the object's when not given" },
  ...submitFlags,
];

export const command = clusterCommand({
  name: 'autoscale', usage: 'autoscale (TYPE NAME | TYPE/NAME | -f FILE) --max=N [--min=N] [--cpu=70%] [flags]', flags,
  summary: 'Make an autoscaler, which sets the number of pods by what they use.',
  examples: ['cleat autoscale deployment web --min=2 --max=5 --cpu=70%', 'cleat autoscale rs/web --max=3'],
  async run(invocation) {
    const { client, parsed, io } = invocation;
    const bounds = boundsOf(parsed);
    const metrics = metricsOf(parsed);
    const type = await resolveResource(client, 'horizontalpodautoscalers.autoscaling');
    return report(await eachOf(await readTargets('autoscale', client, parsed, io), async (target) => {
      const { name } = target;
      if (name === undefined) throw new StatusError('BadRequest', `resource(s) were provided, but no name was specified; say which: cleat autoscale ${target.type.singular} NAME`);
      await checkScalable(client, target.type, target.namespace ?? client.connection.namespace, name);
      await submit(invocation, { command: 'autoscale', manifest: autoscaler(target.type, name, parsed.string('name') ?? name, bounds, metrics), type, did: 'autoscaled' });
    }), io);
  },
});

interface Bounds { readonly maxReplicas: number; readonly minReplicas?: number }

function boundsOf(parsed: ParsedFlags): Bounds {
  const [min, max] = [parsed.int('min') ?? -1, parsed.int('max') ?? -1];
  if (!parsed.has('max')) throw refuse('autoscale', 'required flag(s) "max" not set');
  if (max < 1) throw refuse('autoscale', `--max=MAXPODS is required and must be at least 1, max: ${String(max)}`);
  if (max < min) throw refuse('autoscale', `--max=MAXPODS must be larger or equal to --min=MINPODS, max: ${String(max)}, min: ${String(min)}`);
  return { maxReplicas: max, ...(min > 0 && { minReplicas: min }) };
}

function metricsOf(parsed: ParsedFlags): object[] {
  const percent = parsed.int('cpu-percent') ?? -1;
  if (percent >= 0 && parsed.has('cpu')) throw refuse('autoscale', 'none of the flags in --cpu and --cpu-percent may be given together');
  const cpu = parsed.string('cpu') ?? (percent >= 0 ? `${String(percent)}%` : undefined);
  return [...metric('cpu', cpu), ...metric('memory', parsed.string('memory'))];
}

function metric(name: string, text: string | undefined): object[] {
  if (text === undefined) return [];
  return [{ type: 'Resource', resource: { name, target: targetOf(name, text) } }];
}

function targetOf(name: string, text: string): object {
  const [, percent] = /^([1-9]\d*)%$/.exec(text) ?? [];
  if (percent !== undefined) return { type: 'Utilization', averageUtilization: Number(percent) };
  if (!isQuantity(text) || parseQuantity(text) <= 0n) throw refuse('autoscale', `invalid argument "${text}" for "--${name}" flag: expected a share of what pods ask for, 70%, or an amount for each, ${name === 'cpu' ? '500m' : '200Mi'}`);
  return { type: 'AverageValue', averageValue: text };
}

/** What has no number of replicas is refused before an autoscaler is made that could never work. */
async function checkScalable(client: RestClient, type: ResourceType, namespace: string, name: string): Promise<void> {
  const path = pathOf(type, namespace, name);
  await client.json('GET', path);
  if (await client.find(`${path}/scale`) === undefined) throw new StatusError('BadRequest', `cannot autoscale a ${type.kind}: it has no number of replicas (no scale subresource)`);
}

function autoscaler({ group, version, kind }: ResourceType, target: string, name: string, bounds: Bounds, metrics: readonly object[]): Manifest {
  const scaleTargetRef = { apiVersion: group === '' ? version : `${group}/${version}`, kind, name: target };
  return { apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', metadata: { name }, spec: { ...bounds, ...(metrics.length > 0 && { metrics }), scaleTargetRef } };
}
