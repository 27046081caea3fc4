import { isStatus, StatusError } from '#common/errors.ts';
import type { RestClient } from './client.ts';
import type { Invocation } from './cluster-command.ts';
import { refuse, type Flag } from './flags.ts';
import { pathOf, type ResourceType } from './resources.ts';
import { fileFlags, readTargets } from './targets.ts';

export interface Selectors {
  readonly labels?: string | undefined;
  readonly fields?: string | undefined;
}

export interface ListRequest extends Selectors {
  readonly accept?: string;
  readonly params?: Readonly<Record<string, string>>;
}

/** The objects of a kind that the selectors choose, of one namespace or (`undefined`) of all. What the server says against a selector is said with it, as kubectl does. */
export async function listObjects<T>(client: RestClient, type: ResourceType, namespace: string | undefined, { labels, fields, params = {}, accept }: ListRequest = {}): Promise<T> {
  const query = new URLSearchParams({ ...(labels !== undefined && { labelSelector: labels }), ...(fields !== undefined && { fieldSelector: fields }), ...params }).toString();
  try {
    return await client.json<T>('GET', `${pathOf(type, namespace)}${query === '' ? '' : `?${query}`}`, undefined, accept === undefined ? {} : { accept });
  } catch (error) {
    if (!isStatus(error, 'BadRequest') || error.details === undefined) throw error;
    const what = `${type.group}/${type.version}, Resource=${type.plural}`;
    throw new StatusError(error.code, `Unable to find ${JSON.stringify(what)} that match label selector ${JSON.stringify(labels ?? '')}, field selector ${JSON.stringify(fields ?? '')}: ${error.message}`, { cause: error, details: error.details });
  }
}

/** Where changes to those objects are heard of, from a revision on. */
export function watchPath(type: ResourceType, namespace: string | undefined, { labels, fields }: Selectors, revision: string): string {
  const query = new URLSearchParams({ ...(labels !== undefined && { labelSelector: labels }), ...(fields !== undefined && { fieldSelector: fields }), watch: 'true', resourceVersion: revision });
  return `${pathOf(type, namespace)}?${query.toString()}`;
}

/** One object that a command is to act on. */
export interface Selected {
  readonly type: ResourceType;
  readonly name: string;
  readonly namespace: string | undefined;
}

/** Flags of commands that act on objects by name, file or selector. */
export const selectionFlags: readonly Flag[] = [
  ...fileFlags,
  { name: 'selector', short: 'l', type: 'string', description: 'objects with these labels' },
  { name: 'field-selector', type: 'string', description: 'objects with these fields' },
  { name: 'all', type: 'bool', description: 'all objects of the type in the namespace' },
  { name: 'all-namespaces', short: 'A', type: 'bool', description: 'in all namespaces; with --all or a selector' },
];

/** The objects that `args` and the flags above choose. */
export async function selectObjects(command: string, { client, parsed, io }: Invocation, args: readonly string[] = parsed.args): Promise<Selected[]> {
  const { namespace } = client.connection;
  const targets = await readTargets(command, client, { ...parsed, args }, io);
  const selectors: Selectors = { labels: parsed.string('selector'), fields: parsed.string('field-selector') };
  const chosen = selectors.labels !== undefined || selectors.fields !== undefined;
  if (chosen && parsed.bool('all')) throw refuse(command, "setting 'all' parameter but found a non empty selector");
  if ((chosen || parsed.bool('all')) && targets.some(({ name }) => name !== undefined)) throw refuse(command, 'name cannot be provided when a selector is specified');
  if (parsed.bool('all-namespaces') && targets.some(({ type, name }) => type.namespaced && name !== undefined)) throw refuse(command, 'a resource cannot be retrieved by name across all namespaces');
  const found: Selected[] = [];
  for (const { type, name, namespace: own } of targets) {
    if (name !== undefined) {
      found.push({ type, name, namespace: type.namespaced ? (own ?? namespace) : undefined });
      continue;
    }
    if (!chosen && !parsed.bool('all')) throw new StatusError('BadRequest', 'resource(s) were provided, but no name was specified');
    const list = await listObjects<{ items: { metadata: { name: string; namespace?: string } }[] }>(client, type, parsed.bool('all-namespaces') ? undefined : namespace, selectors);
    found.push(...list.items.map(({ metadata }) => ({ type, name: metadata.name, namespace: metadata.namespace })));
  }
  return found;
}
