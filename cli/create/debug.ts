import { randomInt } from 'node:crypto';
import { safeCharacters } from '#api/meta/names.ts';
import { StatusError } from '#common/errors.ts';
import { refuse, type Flag, type ParsedFlags } from '../flags.ts';
import type { Manifest } from '../manifests.ts';
import { checkImage, checkTerminal, environment, environmentFlag, pullPolicyFlag, stdinFlag, ttyFlag } from './container.ts';
import { pairs } from './submit.ts';

export const debugFlags: readonly Flag[] = [
  { name: 'image', type: 'string', description: 'image to debug with' },
  { name: 'container', short: 'c', type: 'string', description: 'name of the container; debugger-XXXXX when not given. With --copy-to: one of the pod, to change that' },
  { name: 'target', type: 'string', description: 'see the processes of this container' },
  { name: 'profile', type: 'string', default: 'legacy', description: 'what the container may do: legacy, general, baseline, restricted, netadmin or sysadmin' },
  environmentFlag,
  pullPolicyFlag,
  { name: 'arguments-only', type: 'bool', description: "the words after -- are the arguments of the image's command" },
  stdinFlag,
  ttyFlag,
  { name: 'copy-to', type: 'string', description: 'leave the pod alone: debug a copy of it, of this name' },
  { name: 'set-image', type: 'list', description: 'with --copy-to: other images, CONTAINER=IMAGE; * stands for all' },
  { name: 'share-processes', type: 'bool', default: 'true', description: 'with --copy-to: containers see the processes of each other' },
  { name: 'same-node', type: 'bool', description: 'with --copy-to: on the same node' },
  { name: 'replace', type: 'bool', description: 'with --copy-to: delete the pod that was copied' },
  { name: 'keep-labels', type: 'bool', description: 'with --copy-to: labels, too, so that Services send traffic to the copy' },
  { name: 'keep-annotations', type: 'bool', description: 'with --copy-to: annotations, too' },
  { name: 'keep-liveness', type: 'bool', description: 'with --copy-to: liveness probes, too' },
  { name: 'keep-readiness', type: 'bool', description: 'with --copy-to: readiness probes, too' },
  { name: 'keep-startup', type: 'bool', description: 'with --copy-to: startup probes, too' },
  { name: 'keep-init-containers', type: 'bool', default: 'true', description: 'with --copy-to: init containers, too' },
];

interface Container { readonly name: string; readonly image?: string; readonly env?: readonly object[]; readonly [field: string]: unknown }
/** A pod that is there, to be debugged. */
export interface Patient {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly labels?: Readonly<Record<string, string>>; readonly annotations?: Readonly<Record<string, string>> };
  readonly spec: { readonly containers: readonly Container[]; readonly initContainers?: readonly Container[]; readonly ephemeralContainers?: readonly Container[]; readonly nodeName?: string; readonly [field: string]: unknown };
}

const securityContexts: Readonly<Record<string, object | undefined>> = {
  legacy: undefined, baseline: undefined, general: { capabilities: { add: ['SYS_PTRACE'] } }, netadmin: { capabilities: { add: ['NET_ADMIN', 'NET_RAW'] } }, sysadmin: { privileged: true },
  restricted: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] }, runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
};
const copyOnly = ['set-image', 'same-node', 'replace', 'keep-labels', 'keep-annotations', 'keep-liveness', 'keep-readiness', 'keep-startup', 'keep-init-containers'];

/** Refuses flags that do not go together. */
export function checkDebug(parsed: ParsedFlags): void {
  const copies = parsed.has('copy-to');
  const profile = parsed.string('profile') ?? '';
  const image = parsed.string('image') ?? '';
  if (image !== '') checkImage('debug', image);
  if (image === '' && !copies) throw refuse('debug', 'you must specify --image when not using --copy-to.');
  if (copies && parsed.has('target')) throw refuse('debug', '--target is incompatible with --copy-to. Use --share-processes instead.');
  for (const flag of copyOnly) if (parsed.has(flag) && !copies) throw refuse('debug', `--${flag} may only be used with --copy-to.`);
  if (copies && !parsed.has('image') && !parsed.has('container') && !parsed.has('set-image')) throw refuse('debug', 'you must specify --container, --image or --set-image with --copy-to: what the copy has other than the pod');
  checkTerminal('debug', parsed);
  if (!Object.hasOwn(securityContexts, profile)) throw refuse('debug', `unknown profile: ${profile}: expected ${Object.keys(securityContexts).join(', ')}`);
}

/** A name for the container that none has. */
export function debuggerName({ spec }: Patient, parsed: ParsedFlags): string {
  const given = parsed.string('container');
  if (given !== undefined) return given;
  const taken = new Set([...spec.containers, ...(spec.initContainers ?? []), ...(spec.ephemeralContainers ?? [])].map(({ name }) => name));
  for (;;) {
    const name = `debugger-${suffix()}`;
    if (!taken.has(name)) return name;
  }
}

/** Five letters and digits that spell no words. */
export function suffix(): string {
  return Array.from({ length: 5 }, () => safeCharacters.charAt(randomInt(safeCharacters.length))).join('');
}

/** What words and flags say of the container. */
function said(parsed: ParsedFlags, words: readonly string[]): object {
  const [image, pull] = [parsed.string('image'), parsed.string('image-pull-policy')];
  return {
    ...(image !== undefined && { image }), ...(pull !== undefined && { imagePullPolicy: pull }), ...(words.length > 0 && { [parsed.bool('arguments-only') ? 'args' : 'command']: [...words] }),
    ...(parsed.bool('stdin') && { stdin: true }), ...(parsed.bool('tty') && { tty: true }),
  };
}

/** The container that is added to the pod. */
export function debugContainer(name: string, words: readonly string[], parsed: ParsedFlags): object {
  const env = environment('debug', parsed.all('env'));
  const securityContext = securityContexts[parsed.string('profile') ?? ''];
  const target = parsed.string('target');
  return { name, ...said(parsed, words), ...(env.length > 0 && { env }), ...(securityContext && { securityContext }), ...(target !== undefined && { targetContainerName: target }) };
}

/** The copy of the pod, in which the container `name` is another, or added. */
export function debugCopy(name: string, { metadata, spec }: Patient, words: readonly string[], parsed: ParsedFlags): Manifest {
  const images = pairs('debug', parsed.list('set-image').join(','), 'image');
  const { ephemeralContainers: _, nodeName, initContainers = [], containers, ...rest } = spec;
  const known = containers.some((one) => one.name === name);
  const imagesOnly = !known && !parsed.has('image') && parsed.has('set-image');
  if (!known && !imagesOnly && !parsed.has('image')) throw new StatusError('BadRequest', `you must specify image when creating new container: the pod has no container "${name}", but ${containers.map((one) => one.name).join(', ')}`);
  const keep = (flag: string): boolean => parsed.bool(`keep-${flag}`);
  const copied = ({ livenessProbe, readinessProbe, startupProbe, ...container }: Container): Container => {
    const image = images[container.name] ?? images['*'] ?? container.image;
    return { ...container, ...(image !== undefined && { image }), ...(keep('liveness') && livenessProbe !== undefined && { livenessProbe }), ...(keep('readiness') && readinessProbe !== undefined && { readinessProbe }), ...(keep('startup') && startupProbe !== undefined && { startupProbe }) };
  };
  const changed = containers.map(copied).map((one): Container => (one.name === name ? changedContainer(one, words, parsed) : one));
  const shares = parsed.has('share-processes') || (!imagesOnly && parsed.string('profile') !== 'legacy');
  return {
    apiVersion: 'v1', kind: 'Pod',
    metadata: { name: parsed.string('copy-to') ?? '', namespace: metadata.namespace, ...(metadata.labels && (imagesOnly || keep('labels')) && { labels: metadata.labels }), ...(metadata.annotations && (imagesOnly || keep('annotations')) && { annotations: metadata.annotations }) },
    spec: {
      ...rest, ...(keep('init-containers') && initContainers.length > 0 && { initContainers: initContainers.map(copied) }), ...(shares && { shareProcessNamespace: parsed.bool('share-processes') }), ...(parsed.bool('same-node') && nodeName !== undefined && { nodeName }),
      containers: known || imagesOnly ? changed : [...changed, debugContainer(name, words, parsed)],
    },
  };
}

function changedContainer(container: Container, words: readonly string[], parsed: ParsedFlags): Container {
  const { args, ...others } = container;
  const securityContext = securityContexts[parsed.string('profile') ?? ''];
  const env = [...(container.env ?? []), ...environment('debug', parsed.all('env'))];
  const keepsArgs = args !== undefined && (words.length === 0 || parsed.bool('arguments-only'));
  return { ...others, ...(keepsArgs && { args }), ...(env.length > 0 && { env }), ...(securityContext && { securityContext }), ...said(parsed, words) };
}

/** A pod on a node that sees what the node sees, its disk at /host. */
export function nodeDebugger(node: string, words: readonly string[], parsed: ParsedFlags): Manifest {
  const profile = parsed.string('profile') ?? '';
  const seesHost = profile !== 'baseline' && profile !== 'restricted';
  const mounts = seesHost && profile !== 'netadmin';
  // On a node what is general is seeing it, not tracing its processes.
  const { securityContext: _, ...container } = debugContainer(parsed.string('container') ?? 'debugger', words, parsed) as { securityContext?: object; name: string };
  const securityContext = profile === 'general' ? undefined : securityContexts[profile];
  return {
    apiVersion: 'v1', kind: 'Pod', metadata: { name: `node-debugger-${node}-${suffix()}`, labels: { 'app.kubernetes.io/managed-by': 'kubectl-debug' } },
    spec: {
      nodeName: node, restartPolicy: 'Never', tolerations: [{ operator: 'Exists' }], ...(seesHost && { hostNetwork: true, hostPID: true, ...(mounts && { hostIPC: true }) }),
      containers: [{ ...container, ...(securityContext && { securityContext }), ...(mounts && { volumeMounts: [{ name: 'host-root', mountPath: '/host' }] }) }],
      ...(mounts && { volumes: [{ name: 'host-root', hostPath: { path: '/' } }] }),
    },
  };
}
