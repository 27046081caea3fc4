import type { Container, ObjectFieldSelector, Pod, ResourceFieldSelector } from '#api/gen/types.ts';
import { cpuMillis, quantityValue } from '#api/meta/quantity.ts';
import { StatusError } from '#common/errors.ts';
import { containerNamed } from './containers.ts';
import { cpuMillisOf, memoryBytesOf } from './quantities.ts';

/** What fields can refer to beside the pod itself. */
export interface FieldFacts {
  readonly nodeName: string;
  readonly hostIps: readonly string[];
  readonly podIps: readonly string[];
  readonly allocatable: { readonly cpuMillis: number; readonly memoryBytes: number };
  /** Quantities of all that pods can be given here; CPU and memory alone when absent. */
  readonly resources?: Readonly<Record<string, string>>;
}

/** The text of a fieldRef. Rejects a path that Kubernetes does not offer. */
export function fieldValue(pod: Pod, { fieldPath }: ObjectFieldSelector, facts: FieldFacts): string {
  const { metadata, spec } = pod;
  const keyed = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(fieldPath);
  if (keyed) return metadata?.[keyed[1] as 'labels' | 'annotations']?.[keyed[2] ?? ''] ?? '';
  switch (fieldPath) {
    case 'metadata.name': return metadata?.name ?? '';
    case 'metadata.namespace': return metadata?.namespace ?? '';
    case 'metadata.uid': return metadata?.uid ?? '';
    case 'metadata.labels': return pairs(metadata?.labels);
    case 'metadata.annotations': return pairs(metadata?.annotations);
    case 'spec.nodeName': return facts.nodeName;
    case 'spec.serviceAccountName': return spec?.serviceAccountName ?? 'default';
    case 'status.hostIP': return facts.hostIps[0] ?? '';
    case 'status.hostIPs': return facts.hostIps.join(',');
    case 'status.podIP': return facts.podIps[0] ?? '';
    case 'status.podIPs': return facts.podIps.join(',');
    default: throw new StatusError('Invalid', `unsupported fieldPath: ${fieldPath}`);
  }
}

function pairs(map: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(map ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => `${key}=${quoted(value)}`).join('\n');
}

const shortEscapes: Readonly<Record<string, string>> = { '"': '\\"', '\\': '\\\\', '\x07': '\\a', '\b': '\\b', '\f': '\\f', '\n': '\\n', '\r': '\\r', '\t': '\\t', '\v': '\\v' };

/** As Go quotes text: what is no letter, mark, number, punctuation or symbol is written by its number, but for the plain space. */
function quoted(text: string): string {
  return `"${text.replace(/["\\]|(?! )[\p{C}\p{Z}]/gu, (sign) => {
    const code = sign.codePointAt(0) ?? 0;
    const hex = (letter: string, digits: number): string => `\\${letter}${code.toString(16).padStart(digits, '0')}`;
    return shortEscapes[sign] ?? (code < 0x80 ? hex('x', 2) : code < 0x10000 ? hex('u', 4) : hex('U', 8));
  })}"`;
}

/** The number of a resourceFieldRef, in units of its divisor, rounded up. A missing limit is the pod's, and where it has none what pods can have of the node. */
export function resourceValue(pod: Pod, selector: ResourceFieldSelector, own: Container | undefined, facts: FieldFacts): string {
  const container = selector.containerName === undefined || selector.containerName === '' ? own : containerNamed(pod, selector.containerName);
  if (!container) throw new StatusError('Invalid', `container ${selector.containerName ?? ''} not found`);
  const [list, name] = splitResource(selector.resource);
  const { requests, limits } = container.resources ?? {};
  const whole = pod.spec?.resources?.limits;
  const amounts = list === 'limits' ? limits : { ...limits, ...requests };
  if (name === 'cpu') return divided(cpuMillisOf(amounts) || (list === 'limits' ? cpuMillisOf(whole) ?? facts.allocatable.cpuMillis : 0), cpuMillis(divisor(selector) ?? '1'));
  if (name === 'memory') return divided(memoryBytesOf(amounts) || (list === 'limits' ? memoryBytesOf(whole) ?? facts.allocatable.memoryBytes : 0), quantityValue(divisor(selector) ?? '1'));
  // Huge pages are never lent: who has no limit has none of them.
  const missing = (list === 'limits' && name === 'ephemeral-storage' && facts.resources?.[name]) || '0';
  return divided(quantityValue(amounts?.[name] ?? '0') || quantityValue(missing), quantityValue(divisor(selector) ?? '1'));
}

function splitResource(resource: string): ['limits' | 'requests', string] {
  const match = /^(limits|requests)\.(.+)$/.exec(resource);
  if (!match) throw new StatusError('Invalid', `unsupported resource: ${resource}`);
  return [match[1] as 'limits' | 'requests', match[2] ?? ''];
}

function divisor(selector: ResourceFieldSelector): string | undefined {
  return selector.divisor === undefined || selector.divisor === '' || selector.divisor === '0' ? undefined : selector.divisor;
}

function divided(value: number, by: number): string {
  return String(Math.ceil(value / by));
}
