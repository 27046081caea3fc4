import { StatusError } from '#common/errors.ts';
import type { RestClient } from '../client.ts';
import { environment } from '../create/container.ts';
import { refuse, type ParsedFlags } from '../flags.ts';
import { pathOf, resolveResource } from '../resources.ts';
import type { Selected } from '../selection.ts';
import type { Io } from '../types.ts';
import { fits, podTemplateOf, type Container, type EnvVar, type PodTemplate, type Workload } from './pod-template.ts';

/** What is to become of the environment of containers. */
export interface EnvChanges { readonly set: readonly EnvVar[]; readonly removed: readonly string[] }

interface Data { readonly data?: Readonly<Record<string, string>> }

/** Words `A=b` set, `A-` removes; `--env` the same; `--from` takes keys of a Secret or ConfigMap. */
export async function envChanges(client: RestClient, words: readonly string[], parsed: ParsedFlags, io: Io): Promise<EnvChanges> {
  const given = [...words, ...parsed.all('env').filter((word) => word !== '-'), ...(parsed.all('env').includes('-') ? await linesOf(io) : [])];
  const removed = given.filter((word) => !word.includes('=') && word.endsWith('-')).map((word) => word.slice(0, -1));
  const set = environment('set', given.filter((word) => word.includes('=') || !word.endsWith('-')));
  for (const name of removed) if (set.some((one) => one.name === name)) throw refuse('set', `cannot both set and remove an environment variable: ${name}`);
  const from = parsed.string('from');
  return { removed, set: from === undefined ? set : [...set, ...await imported(client, from, parsed, io)] };
}

async function linesOf({ stdin }: Io): Promise<string[]> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stdin as AsyncIterable<Uint8Array>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8').split('\n').filter((line) => line.includes('=') && !line.startsWith('#'));
}

/** A variable for each key, by its name in capitals. */
async function imported(client: RestClient, from: string, parsed: ParsedFlags, io: Io): Promise<EnvVar[]> {
  const [word = '', source = '', ...more] = from.split('/');
  const type = await resolveResource(client, word);
  if (source === '' || more.length > 0 || (type.kind !== 'Secret' && type.kind !== 'ConfigMap')) throw refuse('set', `--from takes secret/NAME or configmap/NAME, not ${from}`);
  const { data = {} } = await client.json<Data>('GET', pathOf(type, client.connection.namespace, source));
  const wanted = parsed.list('keys');
  return Object.keys(data).filter((key) => wanted.length === 0 || wanted.includes(key)).sort().map((key) => {
    const name = key.toUpperCase().replaceAll(/[^A-Z0-9_]/g, '_');
    if (name !== key) io.err(`Warning: key ${key} transferred to ${name}\n`);
    return { name: `${parsed.string('prefix') ?? ''}${name}`, valueFrom: { [type.kind === 'Secret' ? 'secretKeyRef' : 'configMapKeyRef']: { name: source, key } } };
  });
}

/** The patch that makes the changes; undefined where all is so already. */
export function envPatch({ pods, wrap }: PodTemplate, target: string, pattern: string, overwrite: boolean, { set, removed }: EnvChanges): object | undefined {
  const changed = (containers: readonly Container[] = []): object[] => containers.filter(({ name }) => fits(pattern, name)).flatMap(({ name, env = [] }) => {
    for (const one of set) {
      const now = env.find((other) => other.name === one.name);
      if (!overwrite && now) throw new StatusError('Conflict', `${target} '${one.name}' already has a value (${now.value ?? ''}), and --overwrite is false`);
    }
    const fresh = set.filter((one) => { const now = env.find((other) => other.name === one.name); return !now || JSON.stringify(described(now)) !== JSON.stringify(described(one)); });
    const gone = removed.filter((key) => env.some((other) => other.name === key));
    if (fresh.length + gone.length === 0) return [];
    // A variable may refer to those before it: those that are there stay where they are, and what is new comes last.
    const order = [...new Set([...env, ...fresh].map((one) => one.name))].filter((key) => !gone.includes(key));
    const values = fresh.map((one) => ({ value: null, valueFrom: null, ...one })).sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
    return [{ name, '$setElementOrder/env': order.map((key) => ({ name: key })), env: [...values, ...gone.map((key) => ({ name: key, $patch: 'delete' }))] }];
  });
  const [init, main] = [changed(pods.initContainers), changed(pods.containers)];
  return init.length + main.length === 0 ? undefined : wrap({ ...(init.length > 0 && { initContainers: init }), ...(main.length > 0 && { containers: main }) });
}

function described({ value, valueFrom }: EnvVar): unknown {
  const ref = valueFrom?.secretKeyRef ?? valueFrom?.configMapKeyRef;
  return valueFrom === undefined ? value ?? '' : [Object.keys(valueFrom), ref?.name, ref?.key, valueFrom.fieldRef?.fieldPath, valueFrom.resourceFieldRef?.resource];
}

/** Prints the variables of each container as lines of a shell; with `resolve` the values that others give. */
export async function listEnv(client: RestClient, target: Selected, pattern: string, resolve: boolean, io: Io): Promise<void> {
  const object = await client.json<Workload>('GET', pathOf(target.type, target.namespace, target.name));
  const { pods } = podTemplateOf(object, target);
  for (const container of [...(pods.initContainers ?? []), ...(pods.containers ?? [])].filter(({ name }) => fits(pattern, name))) {
    io.out(`# ${target.type.kind} ${target.name}, container ${container.name}\n`);
    for (const one of container.env ?? []) {
      if (one.valueFrom === undefined) io.out(`${one.name}=${one.value ?? ''}\n`);
      else if (resolve && (one.valueFrom.secretKeyRef ?? one.valueFrom.configMapKeyRef)) io.out(await resolved(client, target.namespace, one));
      else io.out(`# ${one.name} from ${origin(one.valueFrom)}\n`);
    }
  }
}

function origin({ secretKeyRef: secret, configMapKeyRef: map, fieldRef: field, resourceFieldRef: resource }: NonNullable<EnvVar['valueFrom']>): string {
  if (secret) return `secret ${secret.name ?? ''}, key ${secret.key}`;
  if (map) return `configmap ${map.name ?? ''}, key ${map.key}`;
  if (field) return `field path ${field.fieldPath}`;
  return `resource field ${resource?.containerName === undefined ? '' : `${resource.containerName}/`}${resource?.resource ?? ''}`;
}

async function resolved(client: RestClient, namespace: string | undefined, { name, valueFrom }: EnvVar): Promise<string> {
  const ref = valueFrom?.secretKeyRef ?? valueFrom?.configMapKeyRef;
  const secret = valueFrom?.secretKeyRef !== undefined;
  const { data = {} } = await client.find<Data>(pathOf(await resolveResource(client, secret ? 'secrets' : 'configmaps'), namespace, ref?.name)) ?? {};
  const value = data[ref?.key ?? ''];
  if (value === undefined) return `# ${name}: key ${ref?.key ?? ''} not found in ${secret ? 'secret' : 'configmap'} ${ref?.name ?? ''}\n`;
  return `${name}=${secret ? Buffer.from(value, 'base64').toString('utf8') : value}\n`;
}
