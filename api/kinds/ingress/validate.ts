import type { HTTPIngressPath, IngressBackend, IngressRule, IngressSpec, IngressTLS } from '../../gen/types.ts';
import { invalid, notSupported, required, type FieldError } from '../../meta/field-error.ts';
import { isIP } from '../../meta/ip.ts';
import { dns1035Label, dns1123Subdomain, pathSegment, portName, portNumber, wildcardSubdomain } from '../../meta/names.ts';
import { named, requiredNamed } from '../../meta/rules.ts';

/** What a path may not contain or end with: it would not mean the same to every server. */
const badSequences = ['//', '/./', '/../', '%2f', '%2F'];
const badSuffixes = ['/..', '/.'];

export function validateSpec({ defaultBackend, rules = [], tls = [], ingressClassName }: IngressSpec): FieldError[] {
  return [
    ...(rules.length === 0 && defaultBackend === undefined ? [invalid('spec', rules, 'either `defaultBackend` or `rules` must be specified')] : []),
    ...(defaultBackend === undefined ? [] : validateBackend(defaultBackend, 'spec.defaultBackend')),
    ...rules.flatMap((rule, i) => validateRule(rule, `spec.rules[${i}]`)),
    ...tls.flatMap((one, i) => validateTls(one, `spec.tls[${i}]`)),
    ...(ingressClassName === undefined ? [] : named('spec.ingressClassName', ingressClassName, dns1123Subdomain)),
  ];
}

function hostProblem(host: string): string | undefined {
  return host.includes('*') ? wildcardSubdomain(host) : dns1123Subdomain(host);
}

function validateTls({ hosts = [], secretName }: IngressTLS, field: string): FieldError[] {
  return [...hosts.flatMap((host, i) => named(`${field}.hosts[${i}]`, host, hostProblem)), ...(secretName ? named(`${field}.secretName`, secretName, dns1123Subdomain) : [])];
}

function validateRule({ host, http }: IngressRule, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (host && isIP(host)) errors.push(invalid(`${field}.host`, host, 'must be a DNS name, not an IP address'));
  if (host) errors.push(...named(`${field}.host`, host, hostProblem));
  if (http === undefined) return errors;
  if ((http.paths ?? []).length === 0) errors.push(required(`${field}.http.paths`));
  return [...errors, ...(http.paths ?? []).flatMap((path, i) => validatePath(path, `${field}.http.paths[${i}]`))];
}

function validatePath({ path = '', pathType, backend }: HTTPIngressPath, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const absolute = path.startsWith('/') ? [] : [invalid(`${field}.path`, path, 'must be an absolute path')];
  switch (pathType) {
    case undefined: errors.push(required(`${field}.pathType`, 'pathType must be specified')); break;
    case 'Exact': case 'Prefix':
      errors.push(...absolute);
      for (const bad of path === '' ? [] : badSequences) if (path.includes(bad)) errors.push(invalid(`${field}.path`, path, `must not contain '${bad}'`));
      for (const bad of path === '' ? [] : badSuffixes) if (path.endsWith(bad)) errors.push(invalid(`${field}.path`, path, `cannot end with '${bad}'`));
      break;
    case 'ImplementationSpecific': if (path !== '') errors.push(...absolute); break;
    default: errors.push(notSupported(`${field}.pathType`, pathType, ['Exact', 'ImplementationSpecific', 'Prefix']));
  }
  return [...errors, ...validateBackend(backend ?? {}, `${field}.backend`)];
}

function validateBackend({ resource, service }: IngressBackend, field: string): FieldError[] {
  if (resource !== undefined && service !== undefined) return [invalid(field, '', 'cannot set both resource and service backends')];
  if (resource !== undefined) {
    return [
      ...(resource.apiGroup ? named(`${field}.resource.apiGroup`, resource.apiGroup, dns1123Subdomain) : []),
      ...requiredNamed(`${field}.resource.kind`, resource.kind, pathSegment), ...requiredNamed(`${field}.resource.name`, resource.name, pathSegment),
    ];
  }
  if (service === undefined) return [invalid(field, '', 'resource or service backend is required')];
  const { name, number } = service.port ?? {};
  const errors = requiredNamed(`${field}.service.name`, service.name, dns1035Label);
  if (name && number) return [...errors, invalid(field, '', 'cannot set both port name & port number')];
  if (name) return [...errors, ...named(`${field}.service.port.name`, name, portName)];
  if (!number) return [...errors, required(field, 'port name or number is required')];
  const problem = portNumber(number);
  return problem === undefined ? errors : [...errors, invalid(`${field}.service.port.number`, number, problem)];
}
