import { attachOnceRunning, exitCodeOfPod, type RunningPod } from '../attach-container.ts';
import { clusterCommand, type Invocation } from '../cluster-command.ts';
import { podFor, runFlags, serviceOf } from '../create/run.ts';
import { submit, submitFlags } from '../create/submit.ts';
import { dryRunOf } from '../dry-run.ts';
import { refuse, type Flag } from '../flags.ts';
import type { Manifest } from '../manifests.ts';
import { podPath } from '../pod-target.ts';
import { resolveResource } from '../resources.ts';

const flags: readonly Flag[] = [
  ...runFlags,
  { name: 'attach', type: 'bool', description: 'attach to the container once it runs; with --stdin and --tty unless said otherwise' },
  { name: 'rm', type: 'bool', description: 'delete the pod when it ends; when attached to it' },
  { name: 'pod-running-timeout', type: 'duration', default: '1m', description: 'how long to wait until the pod runs' },
  { name: 'quiet', short: 'q', type: 'bool', description: 'print only what the container says' },
  ...submitFlags,
];

export const command = clusterCommand({
  name: 'run', usage: 'run NAME --image=IMAGE [flags] [-- [COMMAND] ARGS ...]', flags,
  summary: 'Run an image in a pod. With -it, the exit code is that of its program unless it is started again.',
  examples: ['cleat run web --image=nginx --port=80', 'cleat run -it --rm shell --image=busybox --restart=Never -- sh', 'cleat run web --image=nginx --dry-run=client -o yaml'],
  run,
});

/** How long a deletion may take that nobody can interrupt. */
const farewellMs = 10_000;

async function run(invocation: Invocation): Promise<number> {
  const { client, parsed, io } = invocation;
  const [name, ...words] = parsed.args;
  const given = parsed.args.length - (invocation.words?.length ?? 0);
  if (name === undefined || given < 1) throw refuse('run', 'NAME is required for run');
  const pod = podFor(name, words, parsed);
  const attach = parsed.has('attach') ? parsed.bool('attach') : parsed.bool('stdin') || parsed.bool('tty');
  const { mode } = dryRunOf('run', parsed);
  if (parsed.bool('rm') && !attach) throw refuse('run', '--rm should only be used for attached containers');
  if (attach && mode !== 'none') throw refuse('run', "--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty)");
  if (parsed.bool('expose')) {
    await submit(invocation, { command: 'run', manifest: serviceOf(name, parsed), type: await resolveResource(client, 'services'), did: 'created', overridable: false });
    if (parsed.string('output') === 'yaml') io.out('---\n');
  }
  const made = await submit(invocation, { command: 'run', manifest: pod, type: await resolveResource(client, 'pods'), did: attach ? undefined : 'created' });
  return attach ? follow(invocation, name, made) : 0;
}

/** Attaches to the pod until its program ends. Resolves with the exit code, which is known of a pod that is not started again. */
async function follow({ client, parsed, io }: Invocation, container: string, made: Manifest): Promise<number> {
  const pod = made as unknown as RunningPod & { readonly spec: { readonly restartPolicy?: string } };
  const quiet = parsed.bool('quiet');
  try {
    await attachOnceRunning(client, pod, { container, stdin: parsed.bool('stdin'), tty: parsed.bool('tty'), timeoutMs: parsed.durationMs('pod-running-timeout') ?? 0, quiet }, io);
    if (io.interrupted.aborted) return 130;
    if (pod.spec.restartPolicy !== 'Always' && !parsed.bool('leave-stdin-open')) return await exitCodeOfPod(client, pod, container, io);
    if (parsed.bool('stdin') && parsed.bool('tty') && !parsed.bool('rm') && !quiet) io.err(`Session ended, resume using 'cleat attach ${pod.metadata.name} -c ${container} -i -t' command when the pod is running\n`);
    return 0;
  } finally {
    // Also after Ctrl-C: what was to be there for this session only must not stay.
    if (parsed.bool('rm')) {
      await client.json('DELETE', podPath(pod), undefined, { signal: AbortSignal.timeout(farewellMs) });
      if (!quiet) io.out(`pod "${pod.metadata.name}" deleted\n`);
    }
  }
}
