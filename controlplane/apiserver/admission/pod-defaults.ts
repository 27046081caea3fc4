import type { Pod, Toleration } from '#api/gen/types.ts';
import { qualifiedName } from '#api/kinds/resources.ts';
import type { AdmissionPlugin } from './types.ts';

export interface PodDefaultsConfig {
  readonly notReadyTolerationSeconds: number;
  readonly unreachableTolerationSeconds: number;
}

/** Every pod stays for a while on a node that is lost. */
export function podDefaults(config: PodDefaultsConfig): AdmissionPlugin {
  return {
    name: 'PodDefaults',
    admit({ kind, subresource, object }) {
      if (subresource !== undefined || qualifiedName(kind.resource) !== 'pods') return;
      const spec = (object as Pod | undefined)?.spec;
      if (!spec) return;
      addToleration(spec, 'node.kubernetes.io/not-ready', config.notReadyTolerationSeconds);
      addToleration(spec, 'node.kubernetes.io/unreachable', config.unreachableTolerationSeconds);
    },
  };
}

function addToleration(spec: NonNullable<Pod['spec']>, key: string, tolerationSeconds: number): void {
  const covered = (t: Toleration): boolean => (!t.key || t.key === key) && (!t.effect || t.effect === 'NoExecute');
  if (spec.tolerations?.some(covered)) return;
  spec.tolerations = [...(spec.tolerations ?? []), { key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds }];
}
