import type { IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { forbidden, invalid, notSupported, required, type FieldError } from '../../meta/field-error.ts';
import { cidrProblem, cidrWarnings, isStrictSubnet } from '../../meta/ip.ts';
import { portName, portNumber } from '../../meta/names.ts';
import { named, requiredNamed } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { formatLabelSelector, requirementsOf, validateLabelSelector } from '../../meta/selectors.ts';
import { networkPolicies } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

function setDefaults({ spec }: NetworkPolicy): void {
  if (spec === undefined) return;
  for (const { ports = [] } of [...spec.ingress ?? [], ...spec.egress ?? []]) for (const port of ports) port.protocol ??= 'TCP';
  if ((spec.policyTypes ?? []).length === 0) spec.policyTypes = (spec.egress ?? []).length > 0 ? ['Ingress', 'Egress'] : ['Ingress'];
}

function validatePort({ port, protocol, endPort }: NetworkPolicyPort, field: string): FieldError[] {
  const errors = protocol === undefined || ['TCP', 'UDP', 'SCTP'].includes(protocol) ? [] : [notSupported(`${field}.protocol`, protocol, ['TCP', 'UDP', 'SCTP'])];
  if (typeof port === 'string') errors.push(...named(`${field}.port`, port, portName));
  const problem = typeof port === 'number' ? portNumber(port) : undefined;
  if (problem !== undefined) errors.push(invalid(`${field}.port`, port, problem));
  if (endPort === undefined) return errors;
  if (port === undefined) errors.push(invalid(`${field}.endPort`, endPort, 'may not be specified when `port` is not specified'));
  else if (typeof port === 'string') errors.push(invalid(`${field}.endPort`, endPort, 'may not be specified when `port` is non-numeric'));
  else if (endPort < port) errors.push(invalid(`${field}.endPort`, endPort, 'must be greater than or equal to `port`'));
  const endProblem = portNumber(endPort);
  return endProblem === undefined ? errors : [...errors, invalid(`${field}.endPort`, endPort, endProblem)];
}

function validateBlock({ cidr, except = [] }: IPBlock, field: string): FieldError[] {
  const errors = requiredNamed(`${field}.cidr`, cidr, cidrProblem);
  for (const [i, range] of except.entries()) {
    const problem = cidrProblem(range);
    if (problem !== undefined) errors.push(invalid(`${field}.except[${i}]`, range, problem));
    else if (cidr && cidrProblem(cidr) === undefined && !isStrictSubnet(range, cidr)) errors.push(invalid(`${field}.except[${i}]`, range, 'must be a strict subset of `cidr`'));
  }
  return errors;
}

function validatePeer({ podSelector, namespaceSelector, ipBlock }: NetworkPolicyPeer, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (podSelector === undefined && namespaceSelector === undefined && ipBlock === undefined) errors.push(required(field, 'must specify a peer'));
  if (ipBlock !== undefined && (podSelector ?? namespaceSelector) !== undefined) errors.push(forbidden(field, 'may not specify both ipBlock and another peer'));
  return [...errors, ...validateLabelSelector(podSelector, `${field}.podSelector`), ...validateLabelSelector(namespaceSelector, `${field}.namespaceSelector`),
    ...(ipBlock === undefined ? [] : validateBlock(ipBlock, `${field}.ipBlock`))];
}

function validate({ spec = {} }: NetworkPolicy): FieldError[] {
  const rule = (ports: readonly NetworkPolicyPort[] = [], peers: readonly NetworkPolicyPeer[] = [], path: string, word: string): FieldError[] => [
    ...ports.flatMap((port, i) => validatePort(port, `${path}.ports[${i}]`)), ...peers.flatMap((peer, i) => validatePeer(peer, `${path}.${word}[${i}]`)),
  ];
  const { policyTypes = [] } = spec;
  return [
    ...validateLabelSelector(spec.podSelector, 'spec.podSelector'),
    ...(spec.ingress ?? []).flatMap(({ ports, from }, i) => rule(ports, from, `spec.ingress[${i}]`, 'from')),
    ...(spec.egress ?? []).flatMap(({ ports, to }, i) => rule(ports, to, `spec.egress[${i}]`, 'to')),
    ...(policyTypes.length > 2 ? [invalid('spec.policyTypes', policyTypes, 'may not specify more than two policyTypes')] : []),
    ...policyTypes.flatMap((type, i) => (['Egress', 'Ingress'].includes(type) ? [] : [notSupported(`spec.policyTypes[${i}]`, type, ['Egress', 'Ingress'])])),
  ];
}

function warnings({ spec = {} }: NetworkPolicy): string[] {
  const blocks = (peers: readonly NetworkPolicyPeer[] | undefined, field: string): string[] => (peers ?? []).flatMap(({ ipBlock }, i) => (ipBlock === undefined ? [] : [
    ...cidrWarnings(`${field}[${i}].ipBlock.cidr`, ipBlock.cidr), ...(ipBlock.except ?? []).flatMap((cidr, j) => cidrWarnings(`${field}[${i}].ipBlock.except[${j}]`, cidr)),
  ]));
  return [...(spec.ingress ?? []).flatMap(({ from }, i) => blocks(from, `spec.ingress[${i}].from`)), ...(spec.egress ?? []).flatMap(({ to }, i) => blocks(to, `spec.egress[${i}].to`))];
}

export const networkPolicy: KindDefinition<NetworkPolicy> = {
  resource: networkPolicies,
  singular: 'networkpolicy',
  shortNames: ['netpol'],
  categories: [],
  schema: () => schemaNamed('NetworkPolicy'),
  storage: 'durable',
  status: false,
  generation: true,
  nameRule: 'dns-subdomain',
  setDefaults,
  validate,
  warnings,
  selectableFields: {},
  columns: [nameColumn(), column('Pod-Selector', 'Pods that it is about', ({ spec }) => formatLabelSelector(safeRequirements(spec?.podSelector)) || '<none>'), ageColumn()],
};

/** A stored policy is sound; one on its way in may not be, and prints all the same. */
function safeRequirements(selector: NetworkPolicyPeer['podSelector']): ReturnType<typeof requirementsOf> {
  const sound = (selector?.matchExpressions ?? []).filter(({ operator }) => ['In', 'NotIn', 'Exists', 'DoesNotExist'].includes(operator));
  return requirementsOf({ matchLabels: selector?.matchLabels ?? {}, matchExpressions: sound });
}
