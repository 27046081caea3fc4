import { refuse, type Flag, type ParsedFlags } from '../flags.ts';
import type { Manifest } from '../manifests.ts';
import { checkImage, checkTerminal, environment, environmentFlag, pullPolicyFlag, stdinFlag, ttyFlag } from './container.ts';
import { pairs } from './submit.ts';

export const runFlags: readonly Flag[] = [
  { name: 'image', type: 'string', description: 'the image; required' },
  { name: 'command', type: 'bool', description: 'the words after -- are the command, in place of the image\'s, rather than its arguments' },
  environmentFlag,
  { name: 'port', type: 'int', description: 'the port that the container serves' },
  { name: 'expose', type: 'bool', description: 'make a Service for that port, too' },
  { name: 'labels', short: 'l', type: 'string', description: 'labels of the pod, KEY=VALUE,...; run=NAME when not given' },
  { name: 'annotations', type: 'string', description: 'an annotation of the pod, KEY=VALUE; may be given several times' },
  { name: 'restart', type: 'string', default: 'Always', description: 'Always, OnFailure or Never' },
  pullPolicyFlag,
  { name: 'privileged', type: 'bool', description: 'run the container privileged' },
  stdinFlag,
  ttyFlag,
  { name: 'leave-stdin-open', type: 'bool', description: 'standard input stays open when the first who attached goes' },
];

/** The pod that `cleat run` makes. `words`: those after the name. */
export function podFor(name: string, words: readonly string[], parsed: ParsedFlags): Manifest {
  const [image, restartPolicy, pull, port] = [parsed.string('image'), parsed.string('restart') ?? 'Always', parsed.string('image-pull-policy'), parsed.int('port')];
  if (image === undefined || image === '') throw refuse('run', 'required flag(s) "image" not set');
  checkImage('run', image);
  if (!['Always', 'OnFailure', 'Never'].includes(restartPolicy)) throw refuse('run', `invalid restart policy: ${restartPolicy}: expected Always, OnFailure or Never`);
  if (pull !== undefined && !['Always', 'IfNotPresent', 'Never'].includes(pull)) throw refuse('run', `invalid image pull policy: ${pull}: expected Always, IfNotPresent or Never`);
  const stdin = parsed.bool('stdin');
  checkTerminal('run', parsed);
  if (parsed.bool('expose') && port === undefined) throw refuse('run', '--port must be set when exposing a service');
  const annotations = pairs('run', parsed.all('annotations').join(','), 'annotation');
  const env = environment('run', parsed.all('env'));
  const container = {
    name, image, ...(words.length > 0 && { [parsed.bool('command') ? 'command' : 'args']: [...words] }), ...(env.length > 0 && { env }), ...(port !== undefined && { ports: [{ containerPort: port }] }),
    ...(pull !== undefined && { imagePullPolicy: pull }), ...(parsed.bool('privileged') && { securityContext: { privileged: true } }),
    ...(stdin && { stdin: true, ...(!parsed.bool('leave-stdin-open') && { stdinOnce: true }) }), ...(parsed.bool('tty') && { tty: true }),
  };
  return {
    apiVersion: 'v1', kind: 'Pod', metadata: { name, labels: labelsOf(name, parsed), ...(Object.keys(annotations).length > 0 && { annotations }) },
    spec: { containers: [container], dnsPolicy: 'ClusterFirst', restartPolicy },
  };
}

/** The Service of `--expose`. */
export function serviceOf(name: string, parsed: ParsedFlags): Manifest {
  const port = parsed.int('port');
  return { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { ports: [{ port, protocol: 'TCP', targetPort: port }], selector: labelsOf(name, parsed) } };
}

function labelsOf(name: string, parsed: ParsedFlags): Record<string, string> {
  return parsed.has('labels') ? pairs('run', parsed.string('labels') ?? '', 'label') : { run: name };
}
