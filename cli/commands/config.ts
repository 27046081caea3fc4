import { StatusError } from '#common/errors.ts';
import { helpText, parseFlags, refuse, refuseMore, refuseVerb, type Flag, type ParsedFlags } from '../flags.ts';
import { readConfigs, writeConfig, type Config, type Named } from '../kubeconfig.ts';
import { columns } from '../printing/table.ts';
import type { Command, Io } from '../types.ts';

const flags: readonly Flag[] = [
  { name: 'kubeconfig', type: 'string', description: 'file to read and write' },
  { name: 'minify', type: 'bool', description: 'view: only what the current context needs' },
  { name: 'raw', type: 'bool', description: 'view: with keys and certificates' },
  { name: 'output', short: 'o', type: 'string', description: 'view: json or yaml; get-contexts: name' },
  { name: 'no-headers', type: 'bool', description: 'leave the header line out' },
  { name: 'current', type: 'bool', description: 'set-context: of the current context' },
  { name: 'cluster', type: 'string', description: 'set-context: its cluster' },
  { name: 'user', type: 'string', description: 'set-context: its user' },
  { name: 'namespace', short: 'n', type: 'string', description: 'set-context: its namespace' },
];

type Entry = Record<string, unknown>;
type List = 'clusters' | 'contexts' | 'users';
interface Work { readonly config: Config; readonly path: string; readonly parsed: ParsedFlags; readonly words: readonly string[]; readonly io: Io }

export const command: Command = {
  help: () => helpText('config view | current-context | get-contexts | get-clusters | get-users | use-context | set-context | rename-context | delete-context [NAME] [flags]', 'See and change the kubeconfig: which clusters there are, and which is meant.', flags,
    ['cleat config get-contexts', 'cleat config use-context home', 'cleat config set-context --current --namespace=web']),
  async run(argv, io) {
    const parsed = parseFlags('config', flags, argv);
    const [verb = '', ...words] = parsed.args;
    const act = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined;
    if (!act) throw refuseVerb('config', verb, Object.keys(verbs).filter((one) => one !== 'use'));
    checkOutput(verb, words, parsed);
    const { config, path } = await readConfigs(parsed.string('kubeconfig'), io.env);
    return act({ config, path, parsed, words, io });
  },
};

const verbs: Readonly<Record<string, (work: Work) => number | Promise<number>>> = {
  view,
  'current-context': ({ config, io }) => {
    const current = config['current-context'];
    if (typeof current !== 'string' || current === '') throw new StatusError('BadRequest', 'current-context is not set');
    io.out(`${current}\n`);
    return 0;
  },
  'get-contexts': getContexts,
  'get-clusters': ({ config, io }) => names(config, 'clusters', io),
  'get-users': ({ config, io }) => names(config, 'users', io),
  'use-context': useContext,
  use: useContext,
  'set-context': setContext,
  'rename-context': renameContext,
  'delete-context': deleteContext,
};

/** What a verb takes beside its own words. */
function checkOutput(verb: string, words: readonly string[], parsed: ParsedFlags): void {
  if (['view', 'current-context', 'get-clusters', 'get-users'].includes(verb)) refuseMore('config', words);
  const outputs = verb === 'view' ? ['yaml', 'json'] : verb === 'get-contexts' ? ['name'] : [];
  const output = parsed.string('output');
  if (output !== undefined && !outputs.includes(output)) throw refuse('config', `--output ${output} is not available for config ${verb}${outputs.length > 0 ? `; expected ${outputs.join(' or ')}` : ''}`);
}

function entries(config: Config, list: List): Named[] {
  const found = config[list];
  return Array.isArray(found) ? (found as Named[]) : [];
}

function only({ words, parsed }: Work, count: number, what: string): readonly string[] {
  if (words.length !== count) throw refuse('config', `expected ${what}, got ${parsed.args.slice(1).join(' ') || 'nothing'}`);
  return words;
}

function names(config: Config, list: 'clusters' | 'users', io: Io): number {
  io.out(['NAME', ...entries(config, list).map(({ name }) => String(name)).sort()].map((line) => `${line}\n`).join(''));
  return 0;
}

async function view({ config, parsed, io }: Work): Promise<number> {
  const hidden = new Set(['certificate-authority-data', 'client-certificate-data', 'client-key-data']);
  const current = entries(config, 'contexts').find(({ name }) => name === config['current-context']);
  const keep = (list: List) => ({ name }: Named): boolean => !parsed.bool('minify') || name === (list === 'contexts' ? current?.name : (current?.['context'] as Entry | undefined)?.[list === 'clusters' ? 'cluster' : 'user']);
  const bare = (list: List): unknown[] => entries(config, list).filter(keep(list)).map((entry) => {
    const key = list.slice(0, -1);
    const inner = Object.entries((entry[key] ?? {}) as Entry).map(([name, value]) => [name, parsed.bool('raw') ? value : hidden.has(name) ? 'DATA+OMITTED' : name === 'token' || name === 'password' ? 'REDACTED' : value]);
    return { ...entry, [key]: Object.fromEntries(inner) };
  });
  const shown = { apiVersion: 'v1', kind: 'Config', preferences: {}, ...config, clusters: bare('clusters'), contexts: bare('contexts'), users: bare('users') };
  io.out(parsed.string('output') === 'json' ? `${JSON.stringify(shown, null, 4)}\n` : (await import('../yaml.ts')).formatYaml(shown));
  return 0;
}

function getContexts({ config, parsed, words, io }: Work): number {
  const found = entries(config, 'contexts').filter(({ name }) => words.length === 0 || words.includes(String(name))).sort((a, b) => (String(a.name) < String(b.name) ? -1 : 1));
  if (parsed.string('output') === 'name') io.out(found.map(({ name }) => `${String(name)}\n`).join(''));
  else io.out(columns([...(parsed.bool('no-headers') ? [] : [['CURRENT', 'NAME', 'CLUSTER', 'AUTHINFO', 'NAMESPACE']]), ...found.map(({ name, ...entry }) => {
    const { cluster, user, namespace } = (entry['context'] ?? {}) as Entry;
    return [name === config['current-context'] ? '*' : '', String(name), ...[cluster, user, namespace].map((value) => (typeof value === 'string' ? value : ''))];
  })]));
  const missing = words.filter((word) => !found.some(({ name }) => name === word));
  for (const word of missing) io.err(`error: context ${word} not found\n`);
  return missing.length > 0 ? 1 : 0;
}

async function useContext(work: Work): Promise<number> {
  const [name = ''] = only(work, 1, 'the name of a context');
  if (!entries(work.config, 'contexts').some((entry) => entry.name === name)) throw new StatusError('BadRequest', `no context exists with the name: "${name}"`);
  await writeConfig(work.path, { ...work.config, 'current-context': name });
  work.io.out(`Switched to context "${name}".\n`);
  return 0;
}

async function setContext(work: Work): Promise<number> {
  const { config, parsed, path, io } = work;
  const current = parsed.bool('current');
  const name = current ? config['current-context'] : only(work, 1, 'the name of a context, or --current')[0];
  if (typeof name !== 'string' || name === '') throw new StatusError('BadRequest', 'no current context is set');
  const contexts = entries(config, 'contexts');
  const known = contexts.find((entry) => entry.name === name);
  const given = Object.fromEntries(['cluster', 'user', 'namespace'].flatMap((key) => (parsed.has(key) ? [[key, parsed.string(key)]] : [])));
  const next = { name, context: { ...(known?.['context'] as Entry | undefined), ...given } };
  await writeConfig(path, { ...config, contexts: known ? contexts.map((entry) => (entry === known ? next : entry)) : [...contexts, next] });
  io.out(`Context "${name}" ${known ? 'modified' : 'created'}.\n`);
  return 0;
}

async function renameContext(work: Work): Promise<number> {
  const { config, path, io } = work;
  const [from = '', to = ''] = only(work, 2, 'the old and the new name of a context');
  const contexts = entries(config, 'contexts');
  if (!contexts.some(({ name }) => name === from)) throw new StatusError('BadRequest', `cannot rename the context "${from}", it's not in ${path}`);
  if (contexts.some(({ name }) => name === to)) throw new StatusError('BadRequest', `cannot rename the context "${from}", the context "${to}" already exists in ${path}`);
  await writeConfig(path, { ...config, contexts: contexts.map((entry) => (entry.name === from ? { ...entry, name: to } : entry)), ...(config['current-context'] === from && { 'current-context': to }) });
  io.out(`Context "${from}" renamed to "${to}".\n`);
  return 0;
}

async function deleteContext(work: Work): Promise<number> {
  const { config, path, io } = work;
  const [name = ''] = only(work, 1, 'the name of a context');
  const contexts = entries(config, 'contexts');
  if (!contexts.some((entry) => entry.name === name)) throw new StatusError('BadRequest', `cannot delete context ${name}, not in ${path}`);
  if (config['current-context'] === name) io.err('warning: this removed your active context, use "cleat config use-context" to select a different one\n');
  await writeConfig(path, { ...config, contexts: contexts.filter((entry) => entry.name !== name) });
  io.out(`deleted context ${name} from ${path}\n`);
  return 0;
}
