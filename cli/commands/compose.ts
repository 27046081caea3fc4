import { StatusError } from '#common/errors.ts';
import type { Invocation } from '../cluster-command.ts';
import { clusterCommand } from '../cluster-command.ts';
import { dryRunFlag, dryRunOf } from '../dry-run.ts';
import { eachOf } from '../each.ts';
import { isAnswer, report } from '../error-text.ts';
import { helpText, parseFlags, refuse, verbFirst, type Flag, type ParsedFlags } from '../flags.ts';
import type { Note, Translation } from '../compose/types.ts';
import type { Command, Io } from '../types.ts';

const fileFlags: readonly Flag[] = [
  { name: 'file', short: 'f', type: 'string', description: 'the compose file; compose.yaml, compose.yml, docker-compose.yaml or docker-compose.yml of this folder when not given' },
  { name: 'project-name', short: 'p', type: 'string', description: "name of the project; the file's, or that of its folder, when not given" },
];
const translateFlags: readonly Flag[] = [
  ...fileFlags,
  { name: 'profile', type: 'list', description: 'take in services of these profiles' },
  { name: 'volume-size', type: 'string', default: '1Gi', description: 'size of claims: compose files name none' },
];
const output: Flag = { name: 'output', short: 'o', type: 'string', description: 'print the objects as yaml, json or name; with --dry-run no cluster is asked' };

const usage = `Runs compose files on the cluster.

Usage:
  cleat compose VERB [-f FILE] [flags]

Verbs:
  up        make what the file says, and say which keys could not be honoured
  down      delete what was made; volumes only with --volumes
  convert   print the objects that the file becomes; asks no cluster

'cleat compose VERB --help' says more.
`;

const up = clusterCommand({
  name: 'compose', usage: 'compose up [-f FILE] [flags]', run: runUp,
  summary: 'Translate a compose file to Deployments, Services, claims, Secrets and ConfigMaps, and make the cluster match them.',
  flags: [...translateFlags, dryRunFlag, output, { name: 'remove-orphans', type: 'bool', description: 'delete what an earlier file of the project had and this one has not' }],
  examples: ['cleat compose up', 'cleat compose up -f docker-compose.yml -n shop', 'cleat compose up --dry-run -o yaml'],
});

const down = clusterCommand({
  name: 'compose', usage: 'compose down [-f FILE | -p NAME] [flags]', summary: 'Delete what `compose up` made of a project.', run: runDown,
  flags: [...fileFlags, dryRunFlag, { name: 'volumes', short: 'v', type: 'bool', description: 'its claims, too, with all that is in them' }],
  examples: ['cleat compose down', 'cleat compose down -p shop --volumes'],
});

const convertFlags = [...translateFlags, { ...output, default: 'yaml', description: 'yaml, json or name' }];
const convert: Command = {
  help: () => helpText('compose convert [-f FILE] [flags]', 'Print the objects that a compose file becomes, and on standard error which keys could not be honoured.', convertFlags, ['cleat compose convert > shop.yaml']),
  async run(argv, io) {
    const parsed = parseFlags('compose', convertFlags, argv);
    const { translation } = await translated(parsed, io);
    await print(translation.objects, parsed.string('output') ?? 'yaml', io);
    tellNotes(translation.notes, io);
    return 0;
  },
};

const verbs: Readonly<Record<string, Command>> = { up, down, convert, config: convert };

export const command: Command = {
  help(argv = []) {
    const [verb = ''] = verbFirst(argv.filter((word) => word !== '--help' && word !== '-h'));
    return (Object.hasOwn(verbs, verb) ? verbs[verb]?.help() : undefined) ?? usage;
  },
  async run(argv, io) {
    // As with Docker, -f and -p may stand before the verb.
    const at = argv.findIndex((word, i) => Object.hasOwn(verbs, word) && !['-f', '--file', '-p', '--project-name', '-n', '--namespace', '--context', '--kubeconfig', '--profile'].includes(argv[i - 1] ?? ''));
    const chosen = verbs[argv[at] ?? ''];
    if (!chosen) throw refuse('compose', argv.length === 0 ? 'say what to do: up, down or convert' : `cannot do "${argv[0] ?? ''}": expected up, down or convert; the rest is done by get, logs, exec and scale`);
    return chosen.run(argv.filter((_, i) => i !== at), io);
  },
};

async function translated(parsed: ParsedFlags, io: Io): Promise<{ readonly name: string; readonly source: string; readonly translation: Translation }> {
  if (parsed.args.length > 0) throw refuse('compose', `unexpected arguments: ${parsed.args.join(' ')}; the file is named with -f`);
  const { isQuantity } = await import('#api/meta/quantity.ts');
  const volumeSize = parsed.string('volume-size') ?? '';
  if (!isQuantity(volumeSize)) throw refuse('compose', `invalid argument "${volumeSize}" for "--volume-size" flag: expected a quantity such as 10Gi`);
  const [{ hostFiles, loadProject }, { translate }] = await Promise.all([import('../compose/load.ts'), import('../compose/translate.ts')]);
  const files = hostFiles(io.env);
  const project = loadProject(parsed.string('file'), parsed.string('project-name'), files);
  return { name: project.name, source: parsed.string('file') ?? 'the compose file', translation: translate(project, files, { volumeSize, profiles: parsed.list('profile') }) };
}

async function print(objects: readonly object[], format: string, io: Io): Promise<void> {
  const { checkedOutput, printObjects } = await import('../printing/objects.ts');
  if (format === 'yaml') io.out((await Promise.all(objects.map((object) => printObjects([object], { output: 'yaml', headers: true, managedFields: false, single: true })))).join('---\n'));
  else io.out(await printObjects(objects, { output: checkedOutput(format), headers: true, managedFields: false, single: objects.length === 1 }));
}

function tellNotes(notes: readonly Note[], io: Io): void {
  if (notes.length === 0) return;
  io.err(`\nNot as in the file:\n${notes.map(({ where, what }) => `  ${where}: ${what}`).join('\n')}\n`);
}

async function runUp({ client, parsed, io }: Invocation): Promise<number> {
  const { mode: dryRun, suffix } = dryRunOf('compose', parsed);
  const { name, source, translation: { objects, notes } } = await translated(parsed, io);
  const format = parsed.string('output');
  if (dryRun === 'client' && format !== undefined) {
    await print(objects, format, io);
    tellNotes(notes, io);
    return 0;
  }
  const { refuseForeign, leftOver, remove } = await import('../compose/cluster.ts');
  const { applyManifest } = await import('../apply.ts');
  await refuseForeign(client, name, objects);
  const made: object[] = [];
  const failures = await eachOf(objects, async (manifest) => {
    const applied = await applyManifest(client, manifest, { source, namespace: client.connection.namespace, enforceNamespace: parsed.has('namespace'), dryRun });
    for (const warning of applied.warnings) io.err(`Warning: ${warning}\n`);
    if (format === undefined) io.out(`${applied.display} ${applied.outcome}${suffix}\n`);
    else made.push(applied.object);
  }, { ofOne: (error) => isAnswer(error) && error.code !== 'ServiceUnavailable' });
  if (format !== undefined && made.length > 0) await print(made, format, io);
  const orphans = await leftOver(client, name, objects);
  if (parsed.bool('remove-orphans')) await remove(client, orphans, { dryRun: dryRun !== 'none', suffix }, io);
  else if (orphans.length > 0) io.err(`\nOf an earlier file of the project ${name}: ${orphans.map(({ display }) => display).join(', ')}; --remove-orphans deletes that\n`);
  tellNotes(notes, io);
  return report(failures, io);
}

async function runDown({ client, parsed, io }: Invocation): Promise<number> {
  const { mode, suffix } = dryRunOf('compose', parsed);
  if (parsed.args.length > 0) throw refuse('compose', `unexpected arguments: ${parsed.args.join(' ')}`);
  let name = parsed.has('file') ? undefined : parsed.string('project-name');
  if (name === undefined) {
    const { hostFiles, loadProject } = await import('../compose/load.ts');
    ({ name } = loadProject(parsed.string('file'), parsed.string('project-name'), hostFiles(io.env)));
  }
  const { leftOver, remove } = await import('../compose/cluster.ts');
  const all = await leftOver(client, name, [], true);
  const kept = parsed.bool('volumes') ? [] : all.filter(({ kind }) => kind === 'PersistentVolumeClaim');
  const doomed = all.filter((object) => !kept.includes(object));
  if (all.length === 0) throw new StatusError('NotFound', `nothing in the namespace ${client.connection.namespace} is of the project ${name}; -p names another project, -n another namespace`);
  await remove(client, doomed, { dryRun: mode !== 'none', suffix }, io);
  if (kept.length > 0) io.out(`Kept: ${kept.map(({ display }) => display).join(', ')}; 'cleat compose down -p ${name} --volumes' deletes them with all that is in them\n`);
  return 0;
}

