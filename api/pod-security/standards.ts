import type { ObjectMeta, PodSpec } from '../gen/types.ts';
import * as baseline from './baseline.ts';
import * as restricted from './restricted.ts';
import type { Check, Violation } from './words.ts';

export type Level = 'privileged' | 'baseline' | 'restricted';

/** The newest standards that are known. */
const latestMinor = 34;

function checksOf(level: Level, minor: number): Check[] {
  if (level === 'privileged') return [];
  const isRestricted = level === 'restricted';
  // In Kubernetes' order: by name, first those of baseline that restricted does not replace by a stricter one.
  const base = [
    baseline.appArmorProfile, ...(isRestricted && minor >= 22 ? [] : [baseline.capabilities]), baseline.hostNamespaces, ...(isRestricted ? [] : [baseline.hostPathVolumes]), baseline.hostPorts,
    ...(minor >= 34 ? [baseline.hostProbes] : []), baseline.privileged, baseline.procMount, baseline.seLinuxOptions, ...(isRestricted && minor >= 19 ? [] : [baseline.seccompProfile]), baseline.sysctls(minor), baseline.windowsHostProcess,
  ];
  if (!isRestricted) return base;
  return [
    ...base, restricted.allowPrivilegeEscalation(minor), ...(minor >= 22 ? [restricted.capabilities(minor)] : []), restricted.restrictedVolumes, restricted.runAsNonRoot,
    ...(minor >= 23 ? [restricted.runAsUser] : []), ...(minor >= 19 ? [restricted.seccompProfile(minor)] : []),
  ];
}

/** `version` is `latest` or `v1.N`; later ones than are known are the latest. */
export function violations(level: Level, version: string, pod: { readonly metadata?: ObjectMeta | undefined; readonly spec: PodSpec }): Violation[] {
  const minor = version === 'latest' ? latestMinor : Math.min(latestMinor, Number(version.slice('v1.'.length)));
  return checksOf(level, minor).flatMap((check) => check({ metadata: pod.metadata ?? {}, spec: pod.spec }) ?? []);
}

/** `privileged (container "a" must …), runAsUser=0 (…)`. */
export function printViolations(found: readonly Violation[]): string {
  return found.map(({ reason, detail }) => (detail === undefined ? reason : `${reason} (${detail})`)).join(', ');
}

export function printReasons(found: readonly Violation[]): string {
  return found.map(({ reason }) => reason).join(', ');
}
