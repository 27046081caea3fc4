import { StatusError } from '#common/errors.ts';
import type { RestClient } from '../client.ts';
import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { dryRunFlag, dryRunOf } from '../dry-run.ts';
import { refuse, type Flag } from '../flags.ts';
import { displayName, pathOf } from '../resources.ts';
import { selectionFlags, selectObjects, type Selected } from '../selection.ts';

const flags: readonly Flag[] = [...selectionFlags, dryRunFlag, { name: 'output', short: 'o', type: 'string', description: 'name prints names only' }];

interface Container { readonly name: string; readonly image?: string }
interface PodSpec { readonly containers?: readonly Container[]; readonly initContainers?: readonly Container[] }
interface Workload { readonly spec?: PodSpec & { readonly template?: { readonly spec?: PodSpec }; readonly jobTemplate?: { readonly spec?: { readonly template?: { readonly spec?: PodSpec } } } } }

export const command = clusterCommand({
  name: 'set', usage: 'set image (TYPE/NAME ... | -f FILE) CONTAINER=IMAGE ... [flags]', flags,
  summary: 'Set the images of containers; "*" stands for all of them. See cleat edit and cleat patch for other fields.',
  examples: ['cleat set image deployment/web web=nginx:1.27', "cleat set image daemonset -l app=log '*=log:2'"],
  run,
});

async function run(invocation: Invocation): Promise<number> {
  const { client, parsed, io } = invocation;
  const [what, ...args] = parsed.args;
  if (what !== 'image') throw refuse('set', `cannot set ${what === undefined ? 'nothing' : `"${what}"`}: 'set image' there is; for other fields see cleat edit and cleat patch`);
  const images = new Map(args.filter((arg) => arg.includes('=')).map((arg) => [arg.slice(0, arg.indexOf('=')), arg.slice(arg.indexOf('=') + 1)]));
  if (images.size === 0 || [...images].some(([container, image]) => container === '' || image === '')) throw refuse('set', 'say which image: CONTAINER=IMAGE');
  const { mode, suffix } = dryRunOf('set', parsed);
  const targets = await selectObjects('set', invocation, args.filter((arg) => !arg.includes('=')));
  if (targets.length === 0) throw new StatusError('BadRequest', 'no objects passed to set');
  for (const target of targets) {
    const changed = await setImages(client, target, images, mode);
    const name = displayName(target.type, target.name);
    if (changed) io.out(parsed.string('output') === 'name' ? `${name}\n` : `${name} image updated${suffix}\n`);
  }
  return 0;
}

/** False when the images are those already. */
async function setImages(client: RestClient, { type, namespace, name }: Selected, images: ReadonlyMap<string, string>, mode: 'none' | 'client' | 'server'): Promise<boolean> {
  const path = pathOf(type, namespace, name);
  const { spec } = await client.json<Workload>('GET', path);
  const wraps: Readonly<Record<string, (inner: object) => object>> = {
    job: (inner) => ({ jobTemplate: { spec: { template: { spec: inner } } } }), template: (inner) => ({ template: { spec: inner } }), pod: (inner) => inner,
  };
  const [shape, pods] = spec?.jobTemplate ? ['job', spec.jobTemplate.spec?.template?.spec] as const : spec?.template ? ['template', spec.template.spec] as const : ['pod', spec] as const;
  const all = [...(pods?.initContainers ?? []), ...(pods?.containers ?? [])];
  if (all.length === 0) throw new StatusError('BadRequest', `${displayName(type, name)} has no containers`);
  for (const container of images.keys()) if (container !== '*' && !all.some((one) => one.name === container)) throw new StatusError('BadRequest', `unable to find container named "${container}"; ${displayName(type, name)} has ${all.map((one) => one.name).join(', ')}`);
  const changes = (containers: readonly Container[] = []): object[] => containers.flatMap(({ name: container, image }) => {
    const wanted = images.get(container) ?? images.get('*');
    return wanted === undefined || wanted === image ? [] : [{ name: container, image: wanted }];
  });
  const [init, main] = [changes(pods?.initContainers), changes(pods?.containers)];
  if (init.length + main.length === 0) return false;
  if (mode === 'client') return true;
  const inner = { ...(init.length > 0 && { initContainers: init }), ...(main.length > 0 && { containers: main }) };
  await client.json('PATCH', `${path}?fieldManager=kubectl-set${mode === 'server' ? '&dryRun=All' : ''}`, { spec: wraps[shape]?.(inner) }, { contentType: 'application/strategic-merge-patch+json' });
  return true;
}
