import { explainContainers, sentence } from './containers.ts';
import { explainScheduling } from './scheduling.ts';
import { explainDeletion, explainDisruption, explainGates, explainNode, explainPreparation } from './surroundings.ts';
import type { Explanation, Finding, PodFacts, State } from './types.ts';

/** Says in plain words why a pod is not running and what would change that. Looks at nothing but the facts. */
export function explainPod(facts: PodFacts): Explanation {
  const { metadata, spec, status } = facts.pod;
  const done = (state: State, summary: string, findings: readonly Finding[] = []): Explanation => ({ object: `pod/${metadata?.name ?? ''}`, namespace: metadata?.namespace ?? '', state, summary, findings: distinct(findings) });

  if (metadata?.deletionTimestamp !== undefined) return done('waiting', 'is being deleted', [...explainDeletion(facts), ...explainDisruption(facts)]);
  if (status?.phase === 'Succeeded') return done('finished', 'has finished: all its containers ended well');
  if (status?.phase === 'Failed') return done('broken', 'has failed, and is not started again', failure(facts));
  if (!spec?.nodeName) {
    const gated = status?.conditions?.some(({ reason }) => reason === 'SchedulingGated') ?? false;
    return done(gated || status?.nominatedNodeName ? 'waiting' : 'broken', gated ? 'is held back' : 'has no node', [...explainScheduling(facts), ...explainPreparation(facts)]);
  }
  const ready = status?.conditions?.find(({ type }) => type === 'Ready')?.status === 'True';
  const node = explainNode(facts);
  const containers = explainContainers(facts);
  if (ready && node.every(({ says }) => says.includes('short of'))) return done('fine', `runs on ${spec.nodeName}, and is ready`, [...containers, ...node]);
  const findings = [...node, ...explainPreparation(facts), ...containers, ...explainGates(facts), ...explainDisruption(facts)];
  if (findings.length > 0) return done('broken', summaryOf(facts), findings);
  return done('waiting', `starts on ${spec.nodeName}: nothing is known to be wrong`, [{ cause: 'Container', says: 'Its containers are being made.', helps: ['Wait a moment; cleat get pods -w shows when they run.'] }]);
}

/** Why a pod as a whole failed: what its node said, and which container ended it. */
function failure(facts: PodFacts): Finding[] {
  const { reason, message } = facts.pod.status ?? {};
  const own: Finding[] = reason === undefined || reason === '' ? [] : [{
    cause: reason === 'Evicted' ? 'Disruption' : 'Node', says: `${reason === 'Evicted' ? 'Its node evicted it' : `Its node refused or ended it (${reason})`}: ${sentence(message ?? '')}`,
    helps: ['A pod of a Deployment, StatefulSet or Job is replaced; one that stands alone must be deleted and made anew.'],
  }];
  const containers = explainContainers(facts);
  return [...own, ...explainDisruption(facts), ...(containers.length > 0 || own.length > 0 ? containers : [{ cause: 'Container' as const, says: 'Nothing says why.', helps: ['cleat describe pod shows its Events.'] }])];
}

function summaryOf({ pod }: PodFacts): string {
  const running = (pod.status?.containerStatuses ?? []).filter(({ state }) => state?.running).length;
  const all = pod.spec?.containers.length ?? 0;
  if (running === all && all > 0) return `runs on ${pod.spec?.nodeName ?? ''}, but is not ready`;
  return `is on ${pod.spec?.nodeName ?? ''}, but ${running === 0 ? 'does not run' : `only ${String(running)} of ${String(all)} containers run`}`;
}

/** What two looks found alike is said once. */
function distinct(findings: readonly Finding[]): readonly Finding[] {
  return findings.filter(({ says }, i) => findings.findIndex((other) => other.says === says) === i);
}
