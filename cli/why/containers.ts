import type { ContainerState, ContainerStatus, Event, Pod } from '#api/gen/types.ts';
import { humanAge } from '../printing/age.ts';
import type { Finding, PodFacts } from './types.ts';

const imageReasons: ReadonlySet<string> = new Set(['ErrImagePull', 'ImagePullBackOff', 'ErrImageNeverPull', 'InvalidImageName', 'ImageInspectError', 'RegistryUnavailable', 'SignatureValidationFailed']);
const startReasons: ReadonlySet<string> = new Set(['CreateContainerError', 'RunContainerError', 'PreStartHookError', 'PostStartHookError']);
/** Reasons of containers that only wait their turn: others say more. */
const unremarkable: ReadonlySet<string> = new Set(['ContainerCreating', 'PodInitializing', '']);

/** What keeps containers of a pod from running, or from being ready. Init containers come first, and hide those that wait for them. */
export function explainContainers(facts: PodFacts): readonly Finding[] {
  const { spec, status } = facts.pod;
  const init = (status?.initContainerStatuses ?? []).flatMap((one) => explainContainer(one, facts, spec?.initContainers?.find(({ name }) => name === one.name)?.restartPolicy !== 'Always'));
  if (init.length > 0) return init;
  return (status?.containerStatuses ?? []).flatMap((one) => explainContainer(one, facts, false));
}

function explainContainer(container: ContainerStatus, facts: PodFacts, ends: boolean): readonly Finding[] {
  const { state = {}, ready, started } = container;
  const what = `${ends ? 'The init container' : 'The container'} ${container.name}`;
  if (state.waiting) return explainWaiting(what, container, state.waiting, facts);
  if (state.terminated) return ends && state.terminated.exitCode === 0 ? [] : [ended(what, container, state.terminated, facts)];
  if (!state.running || ends) return ends && state.running ? [{ cause: 'Container', says: `${what} is still at work, since ${since(state.running.startedAt, facts)}.`, helps: [`See what it does: ${logs(facts.pod, container.name)}`] }] : [];
  const notes = restarted(what, container, facts);
  return ready ? notes : [...explainProbe(what, container, started === false, facts), ...notes];
}

function explainWaiting(what: string, container: ContainerStatus, { reason = '', message = '' }: NonNullable<ContainerState['waiting']>, facts: PodFacts): readonly Finding[] {
  const { pod } = facts;
  if (imageReasons.has(reason)) return [explainImage(what, container, reason, message, facts)];
  if (reason === 'CreateContainerConfigError') return [{ cause: 'Configuration', says: `${what} cannot be configured: ${sentence(message)}`, helps: configHelp(message, pod) }];
  if (reason === 'CrashLoopBackOff') {
    const last = container.lastState?.terminated;
    const wait = /back-off (\S+) restarting/.exec(message)?.[1];
    const again = `It has been restarted ${times(container.restartCount)}${wait === undefined ? '' : `; the next time comes within ${wait}`}.`;
    if (!last) return [{ cause: 'Crash', says: `${what} ends again and again. ${again}`, helps: [`See what it said: ${logs(pod, container.name)} --previous`] }];
    const finding = ended(what, container, last, facts, true);
    return [{ ...finding, says: `${finding.says} ${again}` }];
  }
  if (startReasons.has(reason)) return [{ cause: 'Container', says: `${what} cannot be started: ${sentence(message)}`, helps: startHelp(message) }];
  return unremarkable.has(reason) ? [] : [{ cause: 'Container', says: `${what} waits: ${sentence(message || reason)}`, helps: [] }];
}

const otherArchitecture = /wrong architecture|no match for platform|no matching manifest|no image found in (image index|manifest list) for architecture|exec format/i;
const architectureLabel = 'kubernetes.io/arch';

function architectureOf({ pod, nodes }: PodFacts): string {
  const architecture = nodes.find(({ metadata }) => metadata?.name === pod.spec?.nodeName)?.metadata?.labels?.[architectureLabel];
  return architecture === undefined ? '' : ` (${architecture})`;
}

/** The scheduler did not know when it chose the node. It does now, and makes a pod with an owner anew where there is a node for it. */
function architectureHelp({ pod, nodes }: PodFacts): readonly string[] {
  const own = nodes.find(({ metadata }) => metadata?.name === pod.spec?.nodeName)?.metadata?.labels?.[architectureLabel];
  const others = nodes.filter(({ metadata }) => metadata?.labels?.[architectureLabel] !== own).map(({ metadata }) => metadata?.name ?? '');
  const build = 'Use an image that is made for it: cleat nodes shows architectures.';
  if (others.length === 0) return [build, 'Or add a node of an architecture that the image is made for: cleat token create prints the line to run on it.'];
  const isOwned = pod.metadata?.ownerReferences?.some(({ controller }) => controller) ?? false;
  const may = `${others.slice(0, 3).join(', ')}${others.length > 3 ? ' and others' : ''} ${others.length === 1 ? 'has' : 'have'} another architecture`;
  return [
    isOwned ? `${may}. A pod that may be there, and whose image has something for it, is deleted by the scheduler and made anew by its owner. Where this one stays, its node selector, taints or volumes keep it here, or its image is for none of them.` : `${may}. Nobody makes this pod anew: delete it, and create it again; the scheduler now keeps it off nodes that its image is not made for.`,
    build,
  ];
}

function explainImage(what: string, { image }: ContainerStatus, reason: string, message: string, facts: PodFacts): Finding {
  const { pod } = facts;
  const name = JSON.stringify(image);
  const finding = (says: string, ...helps: string[]): Finding => ({ cause: 'Image', says: `${what} has no image: ${says}`, helps });
  const detail = sentence(message.replace(/^Back-off pulling image "[^"]*"(: )?/, ''));
  if (reason === 'ErrImageNeverPull') return finding(`${name} is not on ${pod.spec?.nodeName ?? 'the node'}, and imagePullPolicy is Never.`, 'Load the image there, or set imagePullPolicy: IfNotPresent.');
  if (reason === 'InvalidImageName') return finding(`${name} is no name of an image. ${detail}`, 'Correct spec.containers[].image.');
  if (/unauthorized|denied|forbidden|authentication|authorization/i.test(message)) return finding(`the registry refuses ${name}. It may not exist, or need a password. ${detail}`, 'Check the name.', 'Give the password: make a Secret of type kubernetes.io/dockerconfigjson and name it in spec.imagePullSecrets.');
  if (otherArchitecture.test(message)) return { ...finding(`${name} is not made for this node's architecture${architectureOf(facts)}. ${detail}`), helps: architectureHelp(facts) };
  if (/x509|certificate/i.test(message)) return finding(`the registry of ${name} shows a certificate that the node does not trust. ${detail}`, 'Let the node trust the registry\'s CA, and check its clock.');
  if (/lookup |no such host|refused|timeout|timed out|unreachable|i\/o|EOF|reset by peer|network/i.test(message)) return finding(`the node ${pod.spec?.nodeName ?? ''} cannot reach the registry of ${name}. ${detail}`, `Check the name, and the network and resolver of the node.`, 'An image that is on the node already needs no registry: imagePullPolicy: IfNotPresent.');
  if (/not found|unknown|does not exist|404/i.test(message)) return finding(`${name} does not exist in its registry. ${detail}`, 'Check the name and the tag in spec.containers[].image.');
  return finding(`pulling ${name} fails. ${detail}`, 'Check the name and the registry.');
}

/** What is said of a container that ended. */
function ended(what: string, container: ContainerStatus, { exitCode, reason, signal, message, finishedAt }: NonNullable<ContainerState['terminated']>, facts: PodFacts, previous = false): Finding {
  const { pod } = facts;
  const when = finishedAt === undefined ? '' : ` ${since(finishedAt, facts)}${finishedAt === '' ? '' : ' ago'}`;
  const limit = pod.spec?.containers.find(({ name }) => name === container.name)?.resources?.limits?.['memory'];
  const look = `See what it said: ${logs(pod, container.name)}${previous ? ' --previous' : ''}`;
  if (reason === 'OOMKilled') return { cause: 'OutOfMemory', says: `${what} was killed${when}: it used more memory than it may${limit === undefined ? '' : ` (${limit})`}.`, helps: ['Raise spec.containers[].resources.limits.memory, or let the program use less.', look] };
  if (/executable file not found|no such file or directory|permission denied|exec format error/.test(message ?? '')) return { cause: 'Configuration', says: `${what} cannot be started: ${sentence(message ?? '')}`, helps: startHelp(message ?? '') };
  if (reason === 'DeadlineExceeded') return { cause: 'Crash', says: `${what} was ended${when}: the pod had run as long as it may (activeDeadlineSeconds).`, helps: ['Raise spec.activeDeadlineSeconds.', look] };
  const probe = lastEvent(facts.events, 'Killing', new RegExp(`Container ${container.name} failed (liveness|startup) probe`));
  if (probe) return { cause: 'Probe', says: `${what} was ended${when} because its ${/startup/.test(probe.message ?? '') ? 'startup' : 'liveness'} probe failed${probeSaid(facts.events, container.name)}.`, helps: ['Mend what the probe asks, or the probe: initialDelaySeconds, timeoutSeconds, failureThreshold, startupProbe.', look] };
  if (exitCode === 0) return { cause: 'Crash', says: `${what} ended${when} by itself, with exit code 0. A container of a pod that restarts always is to stay.`, helps: ['Let its program run in the foreground, or use a Job for what ends.', look] };
  const number = signal ?? (exitCode > 128 && exitCode < 160 ? exitCode - 128 : undefined);
  const how = number === undefined ? `with exit code ${String(exitCode)}${exitCode === 127 ? ' (command not found)' : exitCode === 126 ? ' (command cannot be run)' : ''}` : `by signal ${String(number)}${({ 9: ' (SIGKILL)', 11: ' (SIGSEGV, a crash of the program)', 6: ' (SIGABRT, the program gave up)', 15: ' (SIGTERM)' } as Record<number, string>)[number] ?? ''}`;
  const said = message === undefined || message === '' ? '' : ` It left the message: ${sentence(message)}`;
  return { cause: 'Crash', says: `${what} ended${when} ${how}.${said}`, helps: [look] };
}

/** A container that runs and is not ready. */
function explainProbe(what: string, { name, state }: ContainerStatus, starting: boolean, facts: PodFacts): readonly Finding[] {
  const container = [...(facts.pod.spec?.containers ?? []), ...(facts.pod.spec?.initContainers ?? [])].find((one) => one.name === name);
  const kind = starting ? 'startup' : 'readiness';
  const probe = starting ? container?.startupProbe : container?.readinessProbe;
  if (!probe) return [];
  const failed = lastEvent(facts.events, 'Unhealthy', new RegExp(`^${kind} probe (failed|errored)`, 'i'), name);
  const running = state?.running ? ` It has run for ${since(state.running.startedAt, facts)}.` : '';
  if (!failed) return [{ cause: 'Probe', says: `${what} runs, but its ${kind} probe has not succeeded yet.${running}`, helps: [`Wait: it is asked every ${String(probe.periodSeconds ?? 10)} s${probe.initialDelaySeconds ? `, after the first ${String(probe.initialDelaySeconds)} s` : ''}.`] }];
  const said = (failed.message ?? '').replace(/^\w+ probe (failed|errored)[^:]*: ?/i, '').trim();
  const asks = probe.httpGet ? `GET ${probe.httpGet.path ?? '/'} on port ${String(probe.httpGet.port)}` : probe.tcpSocket ? `a connection to port ${String(probe.tcpSocket.port)}` : probe.grpc ? `a gRPC health check on port ${String(probe.grpc.port)}` : `the command ${(probe.exec?.command ?? []).join(' ')}`;
  return [{ cause: 'Probe', says: `${what} runs, but its ${kind} probe (${asks}) fails${said === '' ? '' : `: ${sentence(said)}`}${said === '' ? '.' : ''}${running}`, helps: [`See what it says: ${logs(facts.pod, name)}`, `Mend the program, or the probe: spec.containers[].${kind}Probe.`] }];
}

/** A restart is worth a word also where all is well now. */
function restarted(what: string, container: ContainerStatus, facts: PodFacts): readonly Finding[] {
  const last = container.lastState?.terminated;
  if (!last || container.restartCount === 0) return [];
  const finding = ended(what, container, last, facts, true);
  return [{ ...finding, says: `${finding.says} It runs again since ${since(container.state?.running?.startedAt, facts)}; it has been restarted ${times(container.restartCount)}.` }];
}

function probeSaid(events: readonly Event[], container: string): string {
  const text = lastEvent(events, 'Unhealthy', /^(Liveness|Startup) probe/, container)?.message?.replace(/^\w+ probe \w+: ?/, '').trim();
  return text === undefined || text === '' ? '' : ` (${text})`;
}

/** The newest event of that reason and text; `container` where the event names one. */
export function lastEvent(events: readonly Event[], reason: string, text = /^/, container?: string): Event | undefined {
  return events.findLast((event) => event.reason === reason && text.test(event.message ?? '') && (container === undefined || event.involvedObject.fieldPath === undefined || event.involvedObject.fieldPath.includes(`{${container}}`)));
}

function configHelp(message: string, { metadata }: Pod): string[] {
  const [, kind, name] = /(secret|configmap) "?([^" ]+)"? not found/i.exec(message) ?? [];
  if (kind !== undefined) return [`Make it: a ${kind.toLowerCase() === 'secret' ? 'Secret' : 'ConfigMap'} ${name ?? ''} in namespace ${metadata?.namespace ?? ''}. The container starts by itself then.`, 'Or mark it optional in the pod.'];
  if (/couldn't find key/.test(message)) return ['Add the key to the object, or mark it optional.'];
  if (/runAsNonRoot/.test(message)) return ['Set securityContext.runAsUser to a user other than 0, or use an image that runs as one.'];
  return ['Mend what it says in the pod\'s spec.'];
}

function startHelp(message: string): string[] {
  if (/executable file not found|no such file or directory/.test(message)) return ['Correct spec.containers[].command: the image has no such program.'];
  if (/permission denied/.test(message)) return ['Make the program executable in the image.'];
  if (/exec format error/.test(message)) return ['Use an image that is made for the node\'s architecture.'];
  return ['Mend what it says; cleat describe pod shows the whole of it.'];
}

function logs({ metadata }: Pod, container: string): string {
  return `cleat logs -n ${metadata?.namespace ?? ''} ${metadata?.name ?? ''} -c ${container}`;
}

function since(time: string | undefined, { nowMs }: PodFacts): string {
  return humanAge(nowMs - Date.parse(time ?? ''));
}

function times(count: number): string {
  return count === 1 ? 'once' : count === 2 ? 'twice' : `${String(count)} times`;
}

/** Ends in one full stop, and is not too long to read. */
export function sentence(text: string): string {
  const most = 400;
  const trimmed = text.trim().replace(/\.+$/, '');
  return trimmed === '' ? '' : `${trimmed.length > most ? `${trimmed.slice(0, most)}…` : trimmed}.`;
}
