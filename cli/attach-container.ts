import { messageOf, StatusError } from '#common/errors.ts';
import type { RestClient } from './client.ts';
import { connectPod } from './command-streams.ts';
import { copyOut } from './copy-out.ts';
import { podPath, type TargetPod } from './pod-target.ts';
import type { Io } from './types.ts';
import { waitFor } from './wait.ts';

interface Terminated { readonly exitCode: number; readonly reason?: string }
interface ContainerStatus { readonly name: string; readonly state?: { readonly running?: object; readonly terminated?: Terminated } }
/** A pod and what has become of its containers. */
export interface RunningPod extends TargetPod {
  readonly metadata: TargetPod['metadata'] & { readonly uid?: string };
  readonly status?: { readonly phase?: string; readonly containerStatuses?: readonly ContainerStatus[]; readonly ephemeralContainerStatuses?: readonly ContainerStatus[] };
}

export interface AttachOptions {
  readonly container: string;
  readonly stdin: boolean;
  readonly tty: boolean;
  /** How long to wait for the container to run; 0 is without end. */
  readonly timeoutMs: number;
  /** Says nothing but what the container says. */
  readonly quiet: boolean;
}

/** Attaches to a container of a pod just made once it runs; of one that has ended by then prints what it wrote. */
export async function attachOnceRunning(client: RestClient, pod: TargetPod, { container, stdin, tty, timeoutMs, quiet }: AttachOptions, io: Io): Promise<void> {
  const { state } = statusOf(await untilPod(client, pod, (now) => { const { state: is } = statusOf(now, container); return is?.running !== undefined || is?.terminated !== undefined || ended(now); }, timeoutMs, io), container);
  if (state?.running === undefined) return printLog(client, pod, container, io);
  if (stdin && tty && !quiet && io.terminal) io.err("If you don't see a command prompt, try pressing enter.\n");
  try {
    await connectPod(client, pod, { what: 'attach', container, command: [], stdin, tty: tty && io.terminal }, io);
  } catch (error) {
    // It may have ended in between: what it wrote is kept.
    if (io.interrupted.aborted) throw error;
    if (!quiet) io.err(`warning: couldn't attach to pod/${pod.metadata.name}, falling back to streaming logs: ${messageOf(error)}\n`);
    await printLog(client, pod, container, io);
  }
}

/** Waits for the pod to end. Resolves with the exit code of its container. */
export async function exitCodeOfPod(client: RestClient, pod: TargetPod, container: string, io: Io): Promise<number> {
  const last = await untilPod(client, pod, ended, 0, io);
  const { exitCode } = statusOf(last, container).state?.terminated ?? {};
  if (exitCode !== undefined && exitCode !== 0) io.err(`pod ${pod.metadata.namespace}/${pod.metadata.name} terminated (${statusOf(last, container).state?.terminated?.reason ?? 'Error'})\n`);
  return exitCode ?? (last.status?.phase === 'Succeeded' ? 0 : 1);
}

function ended({ status }: RunningPod): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed';
}

function statusOf({ status }: RunningPod, container: string): Partial<ContainerStatus> {
  return [...(status?.containerStatuses ?? []), ...(status?.ephemeralContainerStatuses ?? [])].find(({ name }) => name === container) ?? {};
}

async function untilPod(client: RestClient, { metadata: { namespace, name } }: TargetPod, done: (pod: RunningPod) => boolean, timeoutMs: number, io: Io): Promise<RunningPod> {
  const deadline = timeoutMs > 0 ? AbortSignal.timeout(timeoutMs) : undefined;
  let last: RunningPod | undefined;
  try {
    await waitFor<RunningPod>(client, `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`, name, (pod) => {
      last = pod;
      return pod === undefined || done(pod);
    }, deadline ? AbortSignal.any([deadline, io.interrupted]) : io.interrupted);
  } catch (error) {
    if (deadline?.aborted === true) throw new StatusError('Timeout', `timed out waiting for the condition: pod/${name} does not run yet. See what keeps it: cleat why -n ${namespace} pod/${name}`);
    throw error;
  }
  if (last === undefined) throw new StatusError('NotFound', `pod/${name} was deleted meanwhile`);
  return last;
}

async function printLog(client: RestClient, pod: TargetPod, container: string, io: Io): Promise<void> {
  await copyOut(client.bytes(`${podPath(pod)}/log?container=${encodeURIComponent(container)}&follow=true`), io.out.bind(io));
}
