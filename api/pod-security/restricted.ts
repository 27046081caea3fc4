import type { Volume } from '../gen/types.ts';
import { containersOf, isWindows, named, plural, quoted, setters, sorted, type Check } from './words.ts';

/** What a careful pod does. Source: Kubernetes, "Pod Security Standards", level restricted. */
const allowedVolumes = new Set(['configMap', 'csi', 'downwardAPI', 'emptyDir', 'ephemeral', 'image', 'persistentVolumeClaim', 'projected', 'secret']);

export function allowPrivilegeEscalation(minor: number): Check {
  return ({ spec }) => {
    if (minor >= 25 && isWindows(spec)) return undefined;
    const containers = containersOf(spec).filter(({ securityContext }) => securityContext?.allowPrivilegeEscalation !== false);
    return containers.length === 0 ? undefined : { reason: 'allowPrivilegeEscalation != false', detail: `${named(containers)} must set securityContext.allowPrivilegeEscalation=false` };
  };
}

export function capabilities(minor: number): Check {
  return ({ spec }) => {
    if (minor >= 25 && isWindows(spec)) return undefined;
    const all = containersOf(spec);
    const keeping = all.filter(({ securityContext }) => securityContext?.capabilities?.drop?.includes('ALL') !== true);
    const foreign = (add: readonly string[] | undefined): string[] => (add ?? []).filter((name) => name !== 'NET_BIND_SERVICE');
    const adding = all.filter(({ securityContext }) => foreign(securityContext?.capabilities?.add).length > 0);
    const details = [
      ...(keeping.length > 0 ? [`${named(keeping)} must set securityContext.capabilities.drop=["ALL"]`] : []),
      ...(adding.length > 0 ? [`${named(adding)} must not include ${quoted(sorted(adding.flatMap(({ securityContext }) => foreign(securityContext?.capabilities?.add))))} in securityContext.capabilities.add`] : []),
    ];
    return details.length === 0 ? undefined : { reason: 'unrestricted capabilities', detail: details.join('; ') };
  };
}

function typeOf(volume: Volume): string {
  return Object.keys(volume).find((key) => key !== 'name' && volume[key as keyof Volume] !== undefined) ?? 'emptyDir';
}

export const restrictedVolumes: Check = ({ spec }) => {
  const bad = (spec.volumes ?? []).filter((volume) => !allowedVolumes.has(typeOf(volume)));
  if (bad.length === 0) return undefined;
  const types = sorted(bad.map(typeOf));
  return { reason: 'restricted volume types', detail: `${plural('volume', bad.length)} ${quoted(bad.map(({ name }) => name))} ${bad.length === 1 ? 'uses' : 'use'} ${plural('restricted volume type', types.length)} ${quoted(types)}` };
};

export const runAsNonRoot: Check = ({ spec }) => {
  const ofPod = spec.securityContext?.runAsNonRoot;
  const all = containersOf(spec);
  const wrong = all.filter(({ securityContext }) => securityContext?.runAsNonRoot === false);
  const silent = ofPod === true ? [] : all.filter(({ securityContext }) => securityContext?.runAsNonRoot === undefined);
  const podIsWrong = ofPod === false;
  const reason = 'runAsNonRoot != true';
  if (podIsWrong || wrong.length > 0) return { reason, detail: `${setters(podIsWrong, wrong)} must not set securityContext.runAsNonRoot=false` };
  return silent.length === 0 ? undefined : { reason, detail: `pod or ${named(silent)} must set securityContext.runAsNonRoot=true` };
};

export const runAsUser: Check = ({ spec }) => {
  const pod = spec.securityContext?.runAsUser === 0;
  const containers = containersOf(spec).filter(({ securityContext }) => securityContext?.runAsUser === 0);
  return pod || containers.length > 0 ? { reason: 'runAsUser=0', detail: `${setters(pod, containers)} must not set runAsUser=0` } : undefined;
};

export function seccompProfile(minor: number): Check {
  const good = (type: string | undefined): boolean => type === 'RuntimeDefault' || type === 'Localhost';
  return ({ spec }) => {
    if (minor >= 25 && isWindows(spec)) return undefined;
    const ofPod = spec.securityContext?.seccompProfile?.type;
    const all = containersOf(spec);
    const wrong = all.filter(({ securityContext }) => securityContext?.seccompProfile !== undefined && !good(securityContext.seccompProfile.type));
    const silent = good(ofPod) ? [] : all.filter(({ securityContext }) => securityContext?.seccompProfile === undefined);
    const podIsWrong = ofPod !== undefined && !good(ofPod);
    const reason = 'seccompProfile';
    if (podIsWrong || wrong.length > 0) {
      const types = sorted([...(podIsWrong ? [ofPod] : []), ...wrong.map(({ securityContext }) => securityContext?.seccompProfile?.type ?? '')]);
      return { reason, detail: `${setters(podIsWrong, wrong)} must not set securityContext.seccompProfile.type to ${quoted(types)}` };
    }
    return silent.length === 0 ? undefined : { reason, detail: `pod or ${named(silent)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"` };
  };
}
