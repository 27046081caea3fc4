import type { RestClient } from '../client.ts';
import { discover, pathOf, resolveResource } from '../resources.ts';

/** What there is to choose from. */
export interface Choices {
  readonly verbs: readonly string[];
  /** The help text of a verb, which names its flags. */
  help(verb: string): Promise<string>;
  /** Undefined where no cluster can be asked. */
  readonly client: RestClient | undefined;
}

/** Verbs whose first word is a type, and those whose words are pods. */
const typed: ReadonlySet<string> = new Set(['get', 'describe', 'delete', 'edit', 'label', 'annotate', 'patch', 'scale', 'wait', 'explain', 'taint', 'why', 'expose', 'autoscale']);
const podVerbs: ReadonlySet<string> = new Set(['logs', 'exec', 'attach', 'port-forward', 'cp', 'debug']);
const nodeVerbs: ReadonlySet<string> = new Set(['cordon', 'uncordon', 'drain']);
const subverbs: Readonly<Record<string, readonly string[]>> = {
  rollout: ['history', 'pause', 'restart', 'resume', 'status', 'undo'], auth: ['can-i', 'whoami'], token: ['create', 'delete', 'list'], completion: ['bash', 'fish', 'zsh'], top: ['nodes', 'pods'], compose: ['convert', 'down', 'up'],
  certificate: ['approve', 'deny'], set: ['env', 'image', 'resources', 'selector', 'serviceaccount'], create: ['configmap', 'deployment', 'namespace', 'secret', 'serviceaccount'],
  image: ['list', 'load', 'prune', 'push'], device: ['add', 'list', 'remove'], certs: ['rotate', 'status'], net: ['check'], 'cluster-info': ['dump'],
  config: ['current-context', 'delete-context', 'get-clusters', 'get-contexts', 'get-users', 'rename-context', 'set-context', 'use-context', 'view'],
  node: ['cordon', 'drain', 'fence', 'label', 'remove', 'replace', 'taint', 'uncordon', 'unfence'],
};

/** What may stand in place of the last word, which is only begun. */
export async function candidates(words: readonly string[], choices: Choices): Promise<readonly string[]> {
  const begun = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  const [verb = '', ...rest] = before.filter((word) => !word.startsWith('-'));
  const previous = before.at(-1) ?? '';
  const starting = (all: readonly string[]): string[] => [...new Set(all)].filter((word) => word.startsWith(begun)).sort();
  if (verb === '') return starting(choices.verbs);
  if (begun.startsWith('-')) return starting([...(await choices.help(verb)).matchAll(/(?:^|\s)(--[a-z][\w-]*)/gm)].map(([, flag = '']) => flag));
  const { client } = choices;
  const names = async (type: string): Promise<string[]> => (client ? namesOf(client, type) : []);
  if (previous === '-n' || previous === '--namespace') return starting(await names('namespaces'));
  const words2 = subverbs[verb];
  if (words2 && rest.length === 0) return starting(words2);
  if (podVerbs.has(verb) && rest.length === 0) return begun.includes('/') ? starting(await slashed(begun, names)) : starting(await names('pods'));
  if (nodeVerbs.has(verb) || verb === 'node') return starting(await names('nodes'));
  const second = verb === 'rollout' || verb === 'set';
  if (verb === 'certificate') return starting(await names('certificatesigningrequests'));
  if (!typed.has(verb) && !second) return [];
  const own = second ? rest.slice(1) : rest;
  if (begun.includes('/')) return starting(await slashed(begun, names));
  const [type] = own;
  return type === undefined || type.includes('/') ? starting(client ? (await discover(client)).map(({ plural }) => plural) : []) : starting(await names(type));
}

/** `pod/we` → `pod/web`. */
async function slashed(begun: string, names: (type: string) => Promise<string[]>): Promise<string[]> {
  const [type = ''] = begun.split('/');
  return (await names(type)).map((name) => `${type}/${name}`);
}

async function namesOf(client: RestClient, word: string): Promise<string[]> {
  const type = await resolveResource(client, word);
  const accept = 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json';
  const { items } = await client.json<{ items: { metadata: { name: string } }[] }>('GET', pathOf(type, client.connection.namespace), undefined, { accept });
  return items.map(({ metadata }) => metadata.name);
}
