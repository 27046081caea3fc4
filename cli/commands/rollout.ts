import { StatusError } from '#common/errors.ts';
import { rfc3339 } from '#common/time.ts';
import { changeFlags, changeObjects, type Change, type Changeable } from '../change.ts';
import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { DescribeWriter } from '../describe/writer.ts';
import { refuse, refuseVerb, type Flag } from '../flags.ts';
import { columns } from '../printing/table.ts';
import { displayName, pathOf } from '../resources.ts';
import { chosenRevision, revisionsOf } from '../rollout/revisions.ts';
import { rolloutStatus, type Rolling } from '../rollout/status.ts';
import { selectObjects, type Selected } from '../selection.ts';
import { hasFiles } from '../targets.ts';
import { waitFor } from '../wait.ts';

const flags: readonly Flag[] = [
  ...changeFlags,
  { name: 'revision', type: 'int', default: '0', description: 'history, status: this revision' },
  { name: 'to-revision', type: 'int', default: '0', description: 'undo: to this revision; 0 is the one before' },
  { name: 'watch', short: 'w', type: 'bool', default: 'true', description: 'status: until it is done' },
  { name: 'timeout', type: 'duration', default: '0', description: 'status: how long to wait; 0 is without end' },
];

const rolling: ReadonlySet<string> = new Set(['Deployment', 'DaemonSet', 'StatefulSet']);
type Verb = (invocation: Invocation, targets: readonly Selected[]) => Promise<number>;

export const command = clusterCommand({
  name: 'rollout', usage: 'rollout status | history | undo | restart | pause | resume TYPE/NAME [flags]', summary: 'See and steer how a change comes to the pods of a Deployment, DaemonSet or StatefulSet.', flags,
  examples: ['cleat rollout status deployment/web', 'cleat rollout history deployment/web', 'cleat rollout undo deployment/web', 'cleat rollout restart daemonset/agent'],
  async run(invocation) {
    const [verb = '', ...args] = invocation.parsed.args;
    const act = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined;
    if (!act) throw refuseVerb('rollout', verb, Object.keys(verbs));
    if (args.length === 0 && !hasFiles(invocation.parsed)) throw refuse('rollout', 'required resource not specified');
    const targets = await selectObjects('rollout', invocation, args);
    for (const { type } of targets) if (!rolling.has(type.kind)) throw new StatusError('BadRequest', `no ${verb} is possible for ${type.plural}; expected deployments, daemonsets or statefulsets`);
    return act(invocation, targets);
  },
});

const verbs: Readonly<Record<string, Verb>> = { status, history, undo, restart, pause: (invocation, targets) => setPaused(invocation, targets, true), resume: (invocation, targets) => setPaused(invocation, targets, false) };

async function status({ client, parsed, io }: Invocation, targets: readonly Selected[]): Promise<number> {
  const timeoutMs = parsed.durationMs('timeout') ?? 0;
  const deadline = timeoutMs === 0 ? undefined : AbortSignal.timeout(timeoutMs);
  for (const { type, namespace, name } of targets) {
    let said = '';
    let failed: string | undefined;
    const look = (object: Rolling | undefined): boolean => {
      if (!object) throw new StatusError('NotFound', `object has been deleted`);
      const now = rolloutStatus(type.kind, object);
      failed = now.failed;
      if (now.text !== said) io.out(now.text);
      said = now.text;
      return now.done || now.failed !== undefined || !parsed.bool('watch');
    };
    // Whoever asks for what is not there is told at once.
    const { metadata } = await client.json<Changeable>('GET', pathOf(type, namespace, name));
    const [asked, running] = [parsed.int('revision') ?? 0, metadata.annotations?.['deployment.kubernetes.io/revision']];
    if (asked > 0 && running !== undefined && running !== String(asked)) throw new StatusError('BadRequest', `desired revision (${String(asked)}) is different from the running revision (${running})`);
    try {
      await waitFor<Rolling>(client, pathOf(type, namespace), name, look, deadline ? AbortSignal.any([deadline, io.interrupted]) : io.interrupted);
    } catch (error) {
      if (deadline?.aborted) throw new StatusError('Timeout', 'timed out waiting for the condition');
      throw error;
    }
    if (failed !== undefined) throw new StatusError('Timeout', failed);
  }
  return 0;
}

async function history({ client, parsed, io }: Invocation, targets: readonly Selected[]): Promise<number> {
  for (const target of targets) {
    const revisions = await revisionsOf(client, target);
    const number = parsed.int('revision') ?? 0;
    const name = displayName(target.type, target.name);
    if (number === 0) {
      io.out(`${name} \n${columns([['REVISION', 'CHANGE-CAUSE'], ...revisions.map((revision) => [String(revision.number), revision.cause ?? '<none>'])], 2)}\n`);
      continue;
    }
    const writer = new DescribeWriter();
    const { describeTemplate } = await import('../describe/pod-spec.ts');
    describeTemplate(writer, chosenRevision(revisions, number, name).template);
    io.out(`${name} with revision #${String(number)}\n${writer.toString()}\n`);
  }
  return 0;
}

function undo(invocation: Invocation, targets: readonly Selected[]): Promise<number> {
  const { client, parsed } = invocation;
  const number = parsed.int('to-revision') ?? 0;
  return changeObjects(invocation, {
    command: 'rollout', manager: 'kubectl-rollout', targets,
    plan: async (object, target): Promise<Change> => {
      if ((object as Changeable & { spec?: { paused?: boolean } }).spec?.paused === true) throw new StatusError('Conflict', `you cannot rollback a paused deployment; resume it first with 'cleat rollout resume' and try again`);
      const revisions = await revisionsOf(client, target);
      const chosen = chosenRevision(revisions, number, `${target.type.singular} "${target.name}"`);
      if (chosen === revisions.at(-1)) return { did: `skipped rollback (current template already matches revision ${String(chosen.number)})` };
      const annotations = target.type.kind === 'Deployment' ? [{ op: 'add', path: '/metadata/annotations', value: { ...kept(object), ...chosen.annotations } }] : [];
      return { patch: [{ op: 'replace', path: '/spec/template', value: chosen.template }, ...annotations], format: 'json', did: 'rolled back' };
    },
  });
}

/** Annotations that belong to the Deployment, not to one of its revisions. */
function kept({ metadata }: Changeable): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(metadata.annotations ?? {}).filter(([key]) => key.startsWith('deployment.kubernetes.io/') || key === 'kubectl.kubernetes.io/last-applied-configuration'));
}

function restart(invocation: Invocation, targets: readonly Selected[]): Promise<number> {
  const annotations = { 'kubectl.kubernetes.io/restartedAt': rfc3339(Date.now()) };
  return changeObjects(invocation, {
    command: 'rollout', manager: 'kubectl-rollout', targets,
    plan: (object, { type, name }) => {
      if (pausedOf(object)) throw new StatusError('Conflict', `${type.plural}.${type.group} "${name}" can't restart paused deployment (run rollout resume first)`);
      return { patch: { spec: { template: { metadata: { annotations } } } }, did: 'restarted' };
    },
  });
}

function setPaused(invocation: Invocation, targets: readonly Selected[], paused: boolean): Promise<number> {
  const verb = paused ? 'pausing' : 'resuming';
  const other = targets.find(({ type }) => type.kind !== 'Deployment');
  if (other) throw new StatusError('BadRequest', `${other.type.plural}.${other.type.group} "${other.name}" ${verb} is not supported`);
  return changeObjects(invocation, {
    command: 'rollout', manager: 'kubectl-rollout', targets,
    plan: (object, { type, name }) => {
      if (pausedOf(object) === paused) throw new StatusError('Conflict', `${type.plural}.${type.group} "${name}" is ${paused ? 'already' : 'not'} paused`);
      return { patch: { spec: { paused: paused || null } }, did: paused ? 'paused' : 'resumed' };
    },
  });
}

function pausedOf(object: Changeable): boolean {
  return (object['spec'] as { paused?: boolean } | undefined)?.paused === true;
}
