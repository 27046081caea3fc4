/** Kubernetes' own label names, so that other tools of the host find their way. */
export const podLabels = {
  uid: 'io.kubernetes.pod.uid', name: 'io.kubernetes.pod.name', namespace: 'io.kubernetes.pod.namespace', container: 'io.kubernetes.container.name',
} as const;

/** Cleat's: whose it is, and what an engine without a notion of pods has no other place for. */
export const ownLabels = {
  owner: 'cleat.dev/owner', specHash: 'cleat.dev/spec-hash', graceSeconds: 'cleat.dev/grace-seconds', stopSignal: 'cleat.dev/stop-signal',
  kind: 'cleat.dev/kind', sandbox: 'cleat.dev/sandbox', attempt: 'cleat.dev/attempt', image: 'cleat.dev/image', logPath: 'cleat.dev/log-path', network: 'cleat.dev/network',
} as const;

const usualGraceSeconds = 30;

/** Whatever stands there: a wait that never ends, or none, must not follow from it. */
export function graceOf(text: string | undefined): number {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : usualGraceSeconds;
}

export function attemptOf(text: string | undefined): number {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : 0;
}
