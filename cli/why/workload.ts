import { sentence } from './containers.ts';
import type { Explanation, Finding, State } from './types.ts';

/** A workload and what came of it. */
export interface WorkloadFacts {
  /** `deployment/web`. */
  readonly object: string;
  readonly namespace: string;
  /** Pods that it is to have, and has ready; undefined where there is no such number. */
  readonly wanted: number | undefined;
  readonly ready: number;
  /** How many pods there are. */
  readonly made: number;
  readonly paused: boolean;
  readonly suspended: boolean;
  /** Ended: `well`, or why not. */
  readonly ended: string | undefined;
  /** Why pods could not be made, the newest last. */
  readonly refusals: readonly string[];
  /** What its conditions say that is wrong. */
  readonly complaints: readonly string[];
  readonly pods: readonly Explanation[];
}

export interface WorkloadExplanation extends Explanation {
  /** Those of its pods that are not fine. */
  readonly pods: readonly Explanation[];
}

/** Says why a workload has not the pods that it is to have. */
export function explainWorkload(facts: WorkloadFacts): WorkloadExplanation {
  const { object, namespace, wanted, ready, made, refusals, complaints } = facts;
  const troubled = facts.pods.filter(({ state }) => state !== 'fine' && state !== 'finished');
  const done = (state: State, summary: string, findings: readonly Finding[]): WorkloadExplanation => ({ object, namespace, state, summary, findings, pods: troubled });
  if (facts.ended === 'well') return done('finished', 'has finished', []);
  if (facts.suspended) return done('waiting', 'is suspended', [{ cause: 'Workload', says: 'Nothing is started as long as spec.suspend is true.', helps: [`cleat patch ${object} -n ${namespace} --type=merge -p '{"spec":{"suspend":false}}'`] }]);
  if (wanted === 0) return done('waiting', 'is to have no pods', [{ cause: 'Workload', says: made > 0 ? 'Its last pods are ending.' : object.startsWith('daemonset') ? 'No node is one that its pods want.' : 'It asks for none.', helps: object.startsWith('daemonset') ? ['Compare its node selector, affinity and tolerations with cleat get nodes --show-labels.'] : [`cleat scale ${object} -n ${namespace} --replicas=1`] }]);
  const findings: Finding[] = [];
  const refusal = refusals.at(-1);
  if (refusal !== undefined && (wanted === undefined || made < wanted)) findings.push(explainRefusal(refusal, namespace));
  if (facts.paused) findings.push({ cause: 'Workload', says: 'It is paused: what was changed in it is not rolled out.', helps: [`cleat rollout resume ${object} -n ${namespace}`] });
  findings.push(...complaints.map((says): Finding => ({ cause: 'Workload', says: sentence(says), helps: [] })));
  const complete = wanted === undefined ? troubled.length === 0 : ready >= wanted;
  if (facts.ended !== undefined) return done('broken', 'has failed', [{ cause: 'Workload', says: sentence(facts.ended), helps: [] }, ...findings]);
  const count = wanted === undefined ? `${String(facts.pods.length - troubled.length)} of ${String(facts.pods.length)} pods are well` : `${String(ready)} of ${String(wanted)} pods are ready`;
  if (complete && findings.length === 0) return { ...done('fine', `is complete: ${count}`, []), pods: [] };
  if (findings.length === 0 && troubled.length === 0) return done('waiting', `is not complete: ${count}`, [{ cause: 'Workload', says: wanted !== undefined && made < wanted ? 'Its pods are still being made.' : 'Its pods have become ready, or are about to.', helps: ['Wait a moment, then ask again.'] }]);
  return done(complete ? 'waiting' : troubled.some(({ state }) => state === 'broken') || refusal !== undefined ? 'broken' : 'waiting', complete ? `has all its pods: ${count}` : `is not complete: ${count}`, findings);
}

type Refusal = readonly [RegExp, (match: RegExpExecArray, namespace: string) => Omit<Finding, 'cause'>];

const refusalTexts: readonly Refusal[] = [
  [/exceeded quota: ([^,]+), requested: (.*), used: (.*), limited: (.*)$/, ([, quota = '', requested = '', used = '', limited = ''], namespace) => ({
    says: `The quota ${quota} of the namespace is used up: it allows ${limited}, ${used} is taken, and another pod asks for ${requested}.`,
    helps: [`Raise it: cleat edit resourcequota ${quota} -n ${namespace}`, 'Or free some: scale down or delete pods of the namespace, or let them ask for less.'],
  })],
  [/failed quota: ([^:]+): must specify (.*)$/, ([, quota = '', what = '']) => ({ says: `The quota ${quota} wants every pod to say ${what.replaceAll(',', ', ')}, which these do not.`, helps: ['Set them in spec.template.spec.containers[].resources, or by default for all with a LimitRange.'] })],
  [/violates PodSecurity "([^"]+)": (.*)$/s, ([, level = '', what = ''], namespace) => ({ says: `The namespace takes only pods of the security level ${level}: ${sentence(what)}`, helps: ['Set what it asks for in the pod\'s securityContext.', `Or allow more: cleat label namespace ${namespace} --overwrite pod-security.kubernetes.io/enforce=LEVEL`] })],
  [/serviceaccount "([^"]+)" not found/, ([, name = ''], namespace) => ({ says: `The service account ${name} does not exist.`, helps: [`Make it: a ServiceAccount ${name} in namespace ${namespace}.`, 'Or name another in spec.template.spec.serviceAccountName.'] })],
  [/no PriorityClass with name (\S+) was found/, ([, name = '']) => ({ says: `The priority class ${name} does not exist.`, helps: ['Make it, or name one that there is: cleat get priorityclasses'] })],
  [/is being terminated|NamespaceTerminating/, () => ({ says: 'The namespace is being deleted, so nothing new is made there.', helps: ['Use another namespace.'] })],
  [/(?:maximum|minimum|max limit to request ratio).* (?:per|for) (?:Container|Pod)/i, (match) => ({ says: `A LimitRange of the namespace forbids it: ${sentence(bare(match.input))}`, helps: ['Change spec.template.spec.containers[].resources, or the LimitRange: cleat get limitranges -o yaml'] })],
  [/admission webhook "([^"]+)" denied the request:? ?(.*)$/s, ([, name = '', why = '']) => ({ says: `The admission webhook ${name} refuses it: ${sentence(why)}`, helps: ['Change the pods as it asks, or the webhook: cleat get validatingwebhookconfigurations'] })],
  [/failed calling webhook "([^"]+)": (.*)$/s, ([, name = '', why = '']) => ({ says: `The admission webhook ${name} does not answer: ${sentence(why)}`, helps: ['Let it run again, or set its failurePolicy to Ignore.'] })],
  [/ValidatingAdmissionPolicy '([^']+)'.* denied request: (.*)$/s, ([, name = '', why = '']) => ({ says: `The admission policy ${name} refuses it: ${sentence(why)}`, helps: ['Change the pods as it asks, or the policy.'] })],
];

/** What admission said of a pod, in plain words. */
export function explainRefusal(message: string, namespace: string): Finding {
  for (const [pattern, explain] of refusalTexts) {
    const match = pattern.exec(message);
    if (match) return { cause: 'Admission', ...explain(match, namespace) };
  }
  return { cause: 'Admission', says: `Pods cannot be made: ${sentence(bare(message))}`, helps: ['Mend what it says in spec.template.'] };
}

/** Without the name of the pod that was never made. */
function bare(message: string): string {
  return message.replace(/^Error creating: /, '').replace(/^pods "[^"]*" is forbidden: /, '');
}
