import type { AppArmorProfile, Pod } from '../gen/types.ts';
import { allContainers } from './defaults.ts';

const prefix = 'container.apparmor.security.beta.kubernetes.io/';
const localhost = 'localhost/';

/** What annotations, as they were before v1.30, ask for goes to the fields that took their place, where those say nothing. Changes the pod in place. */
export function setAppArmorProfiles({ metadata, spec }: Pod): void {
  for (const container of spec === undefined ? [] : allContainers(spec)) {
    const profile = profileOf(metadata?.annotations?.[`${prefix}${container.name}`]);
    if (profile === undefined || container.securityContext?.appArmorProfile !== undefined) continue;
    container.securityContext = { ...container.securityContext, appArmorProfile: profile };
  }
}

function profileOf(annotation: string | undefined): AppArmorProfile | undefined {
  switch (annotation) {
    case undefined: return undefined;
    case 'runtime/default': return { type: 'RuntimeDefault' };
    case 'unconfined': return { type: 'Unconfined' };
    default: return annotation.startsWith(localhost) && annotation.length > localhost.length ? { type: 'Localhost', localhostProfile: annotation.slice(localhost.length) } : undefined;
  }
}
