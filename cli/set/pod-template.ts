import { StatusError } from '#common/errors.ts';
import { displayName } from '../resources.ts';
import type { Selected } from '../selection.ts';

export interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: { readonly secretKeyRef?: KeyRef; readonly configMapKeyRef?: KeyRef; readonly fieldRef?: { readonly apiVersion?: string; readonly fieldPath: string }; readonly resourceFieldRef?: { readonly containerName?: string; readonly resource: string } };
}
interface KeyRef { readonly name?: string; readonly key: string }
type Amounts = Readonly<Record<string, string>>;
export interface Container {
  readonly name: string;
  readonly image?: string;
  readonly env?: readonly EnvVar[];
  readonly resources?: { readonly limits?: Amounts; readonly requests?: Amounts };
}
export interface PodSpec { readonly containers?: readonly Container[]; readonly initContainers?: readonly Container[]; readonly serviceAccountName?: string }
/** A pod, or what makes pods. */
export interface Workload {
  readonly kind?: string;
  readonly spec?: PodSpec & { readonly template?: { readonly spec?: PodSpec }; readonly jobTemplate?: { readonly spec?: { readonly template?: { readonly spec?: PodSpec } } } };
}

export interface PodTemplate {
  readonly pods: PodSpec;
  /** A patch of the pods' spec as one of the whole object. */
  readonly wrap: (inner: object) => object;
}

/** The spec of the pods that an object makes, or of the pod that it is. */
export function podTemplateOf({ spec }: Workload, { type, name }: Pick<Selected, 'type' | 'name'>): PodTemplate {
  const [pods, wrap]: readonly [PodSpec | undefined, (inner: object) => object] = spec?.jobTemplate
    ? [spec.jobTemplate.spec?.template?.spec, (inner) => ({ spec: { jobTemplate: { spec: { template: { spec: inner } } } } })]
    : spec?.template ? [spec.template.spec, (inner) => ({ spec: { template: { spec: inner } } })] : [spec, (inner) => ({ spec: inner })];
  if ((pods?.containers ?? []).length === 0) throw new StatusError('BadRequest', `${displayName(type, name)} has no containers: it is no pod and has no pod template`);
  return { pods: pods ?? {}, wrap };
}

/** True where the name fits the pattern of `--containers`, in which `*` stands for anything. */
export function fits(pattern: string, name: string): boolean {
  return new RegExp(`^${pattern.split('*').map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&')).join('.*')}$`).test(name);
}
