import { StatusError } from '#common/errors.ts';
import { changeFlags, changeObjects, type Change, type Changeable } from '../change.ts';
import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { pairs } from '../create/submit.ts';
import { refuse, type Flag } from '../flags.ts';
import { displayName } from '../resources.ts';
import { selectObjects, type Selected } from '../selection.ts';
import { envChanges, envPatch, listEnv } from '../set/env.ts';
import { imagePatch, imagesOf } from '../set/image.ts';
import { fits, podTemplateOf, type Workload } from '../set/pod-template.ts';
import { resourceChanges, resourcesPatch } from '../set/resources.ts';
import { hasFiles } from '../targets.ts';

const flags: readonly Flag[] = [
  ...changeFlags,
  { name: 'containers', short: 'c', type: 'string', default: '*', description: 'env, resources: containers whose names fit this; * stands for anything' },
  { name: 'env', short: 'e', type: 'string', description: 'env: NAME=VALUE, or - for lines of standard input; may be given several times' },
  { name: 'from', type: 'string', description: 'env: a variable for each key of secret/NAME or configmap/NAME' },
  { name: 'keys', type: 'list', description: 'env: with --from, only these keys' },
  { name: 'prefix', type: 'string', description: 'env: with --from, put before the names' },
  { name: 'overwrite', type: 'bool', default: 'true', description: 'env: variables that are there may be changed' },
  { name: 'list', type: 'bool', description: 'env: print the variables, change nothing' },
  { name: 'resolve', type: 'bool', description: 'env: with --list, print what is in Secrets and ConfigMaps' },
  { name: 'limits', type: 'string', description: 'resources: cpu=200m,memory=512Mi' },
  { name: 'requests', type: 'string', description: 'resources: cpu=100m,memory=256Mi' },
  { name: 'resource-version', type: 'string', description: 'selector: only when the object is at this version' },
];

type Plan = (object: Changeable, target: Selected) => Change | undefined;
/** Reads the words after the verb: those that name objects, and what is to be done with each. */
type Setter = (invocation: Invocation, words: readonly string[]) => Promise<{ readonly names: readonly string[]; readonly plan: Plan }> | { readonly names: readonly string[]; readonly plan: Plan };

const pairsApart = (words: readonly string[], isPair: (word: string) => boolean): [string[], string[]] => [words.filter((word) => !isPair(word)), words.filter(isPair)];
const done = (patch: object | undefined, did: string): Change | undefined => patch && { patch, format: 'strategic-merge', did };
const named = ({ type, name }: Selected): string => displayName(type, name);

const image: Setter = (_invocation, words) => {
  const [names, given] = pairsApart(words, (word) => word.includes('='));
  const images = imagesOf(given);
  return { names, plan: (object, target) => done(imagePatch(podTemplateOf(object as Workload, target), named(target), images), 'image updated') };
};

const env: Setter = async ({ client, parsed, io }, words) => {
  const [names, given] = pairsApart(words, (word) => word.includes('=') || word.endsWith('-'));
  const changes = await envChanges(client, given, parsed, io);
  const pattern = parsed.string('containers') ?? '*';
  return {
    names,
    plan: (object, target) => {
      const template = podTemplateOf(object as Workload, target);
      const { containers = [], initContainers = [] } = template.pods;
      if (![...containers, ...initContainers].some(({ name }) => fits(pattern, name))) io.err(`Warning: ${target.type.kind}/${target.name} does not have any containers matching ${JSON.stringify(pattern)}\n`);
      return done(envPatch(template, `${target.type.plural}/${target.name}`, pattern, parsed.bool('overwrite'), changes), 'env updated');
    },
  };
};

const resources: Setter = ({ parsed }, names) => {
  const changes = resourceChanges(parsed);
  return { names, plan: (object, target) => done(resourcesPatch(podTemplateOf(object as Workload, target), parsed.string('containers') ?? '*', changes), 'resource requirements updated') };
};

const serviceAccount: Setter = ({ parsed }, words) => {
  const account = words.at(-1);
  const names = words.slice(0, -1);
  if (account === undefined || (names.length === 0 && !hasFiles(parsed))) throw refuse('set', 'serviceaccount is required: set serviceaccount TYPE/NAME SERVICE_ACCOUNT');
  return { names, plan: (object, target) => done(podTemplateOf(object as Workload, target).wrap({ serviceAccountName: account, serviceAccount: account }), 'serviceaccount updated') };
};

const selector: Setter = ({ parsed }, words) => {
  const [names, given] = pairsApart(words, (word) => word.includes('='));
  if (given.length !== 1) throw refuse('set', 'one selector is required: KEY=VALUE,...');
  const wanted = pairs('set', given[0] ?? '', 'selector');
  const version = parsed.string('resource-version');
  return {
    names,
    plan: (object, { type }) => {
      if (type.kind !== 'Service') throw new StatusError('BadRequest', "setting a selector is only supported for Services: a workload's cannot change; make another");
      const { selector: now = {} } = (object as { spec?: { selector?: Record<string, string> } }).spec ?? {};
      const gone = Object.fromEntries(Object.keys(now).map((key) => [key, null]));
      return { patch: { ...(version !== undefined && { metadata: { resourceVersion: version } }), spec: { selector: { ...gone, ...wanted } } }, did: 'selector updated' };
    },
  };
};

const setters: Readonly<Record<string, Setter>> = { image, env, resources, serviceaccount: serviceAccount, sa: serviceAccount, selector };

export const command = clusterCommand({
  name: 'set', usage: 'set (image | env | resources | serviceaccount | selector) (TYPE/NAME ... | -f FILE) [VALUES] [flags]', flags,
  summary: 'Set images, variables and resources of containers, the service account of pods, or the selector of a Service. See cleat edit and cleat patch for other fields.',
  examples: [
    'cleat set image deployment/web web=nginx:1.27', "cleat set image daemonset -l app=log '*=log:2'", 'cleat set env deployment/web LEVEL=debug OLD-', 'cleat set env deployment/web --from=secret/db --prefix=DB_',
    'cleat set env deployment/web --list', 'cleat set resources deployment/web --limits=cpu=200m,memory=512Mi', 'cleat set serviceaccount deployment/web builder', 'cleat set selector service web app=web,track=stable',
  ],
  async run(invocation) {
    const { client, parsed, io } = invocation;
    const [what = '', ...words] = parsed.args;
    const setter = Object.hasOwn(setters, what) ? setters[what] : undefined;
    if (!setter) throw refuse('set', `cannot set ${what === '' ? 'nothing' : `"${what}"`}: expected image, env, resources, serviceaccount or selector; for other fields see cleat edit and cleat patch`);
    if (what === 'env' && parsed.bool('list')) {
      for (const target of await selectObjects('set', invocation, words)) await listEnv(client, target, parsed.string('containers') ?? '*', parsed.bool('resolve'), io);
      return 0;
    }
    const { names, plan } = await setter(invocation, words);
    return changeObjects(invocation, { command: 'set', manager: 'kubectl-set', args: names, plan });
  },
});
