import type { Note, Raw } from './types.ts';
import { integerOf, labelOf, listOf, mapOf, pairsOf, secondsOf, textOf, textsOf, truth } from './values.ts';

/** What a service says of the pod around its container. */
export function podOf(service: Raw, where: string, notes: Note[]): Raw {
  const at = (key: string): string => `${where}.${key}`;
  const has = (key: string): boolean => service[key] !== undefined && service[key] !== null;
  const aliases = hostAliases(service, at('extra_hosts'), notes);
  const dns = { ...(has('dns') && { nameservers: textsOf(service['dns'], at('dns')) }), ...(has('dns_search') && { searches: textsOf(service['dns_search'], at('dns_search')) }) };
  const selector = { ...nodeSelector(mapOf(mapOf(service['deploy'], at('deploy'))['placement'], at('deploy.placement')), at('deploy.placement'), notes), ...(has('platform') && { 'kubernetes.io/arch': textOf(service['platform'], at('platform')).split('/')[1] ?? '' }) };
  const sysctls = [...pairsOf(service['sysctls'], at('sysctls'))].map(([name, value]) => ({ name, value: value ?? '' }));
  const groups = listOf(service['group_add'], at('group_add')).flatMap((group) => {
    if (/^\d+$/.test(String(group))) return [Number(group)];
    notes.push({ where: at('group_add'), what: `"${String(group)}" is a name, and Kubernetes takes numbers only` });
    return [];
  });
  const security = { ...(sysctls.length > 0 && { sysctls }), ...(groups.length > 0 && { supplementalGroups: groups }) };
  return {
    // Neither is known to programs that were made for Compose: variables such as REDIS_PORT mislead them.
    enableServiceLinks: false, automountServiceAccountToken: false,
    ...(has('hostname') && { hostname: labelOf(textOf(service['hostname'], at('hostname')), at('hostname')) }),
    ...hostNamespaces(service, where, notes),
    ...(has('stop_grace_period') && { terminationGracePeriodSeconds: secondsOf(service['stop_grace_period'], at('stop_grace_period'), 0) }),
    ...(aliases.length > 0 && { hostAliases: aliases }), ...(Object.keys(dns).length > 0 && { dnsConfig: dns }),
    ...(Object.keys(selector).length > 0 && { nodeSelector: selector }), ...(Object.keys(security).length > 0 && { securityContext: security }),
  };
}

function hostNamespaces(service: Raw, where: string, notes: Note[]): Raw {
  const mode = service['network_mode'];
  const host = (key: string): boolean => service[key] === 'host';
  for (const key of ['pid', 'ipc', 'network_mode']) {
    const value = service[key];
    if (value !== undefined && value !== 'host' && !(key === 'network_mode' && value === 'bridge')) notes.push({ where: `${where}.${key}`, what: `"${textOf(value, where)}" has no counterpart` });
  }
  return { ...(mode === 'host' && { hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }), ...(host('pid') && { hostPID: true }), ...(host('ipc') && { hostIPC: true }) };
}

function hostAliases(service: Raw, where: string, notes: Note[]): Raw[] {
  const value = service['extra_hosts'];
  // `name:ip` as well as `name=ip`; an IPv6 address has colons of its own.
  const pairs = Array.isArray(value) ? value.map((item) => /^([^:=]+)[:=]\[?(.+?)\]?$/.exec(textOf(item, where)) ?? []).map(([, name = '', ip = '']) => [name, ip] as const) : [...pairsOf(value, where)].map(([name, ip]) => [name, ip ?? ''] as const);
  return pairs.flatMap(([name, ip]) => {
    if (/^[\da-f.:]+$/i.test(ip)) return [{ ip, hostnames: [name] }];
    notes.push({ where, what: `"${ip}" for ${name} is no address` });
    return [];
  });
}

function nodeSelector(placement: Raw, where: string, notes: Note[]): Raw {
  const selector: Record<string, string> = {};
  for (const constraint of textsOf(placement['constraints'], `${where}.constraints`)) {
    const [, subject = '', value = ''] = /^\s*([\w.\-/]+)\s*==\s*(.+?)\s*$/.exec(constraint) ?? [];
    const label = subject === 'node.hostname' ? 'kubernetes.io/hostname' : subject === 'node.platform.arch' ? 'kubernetes.io/arch' : subject === 'node.platform.os' ? 'kubernetes.io/os' : /^node\.labels\.(.+)$/.exec(subject)?.[1];
    if (label === undefined) notes.push({ where: `${where}.constraints`, what: `"${constraint}" has no counterpart: node.hostname==, node.labels.KEY== and node.platform.arch== have` });
    else selector[label] = subject === 'node.platform.arch' ? ({ x86_64: 'amd64', aarch64: 'arm64' })[value] ?? value : value;
  }
  for (const key of Object.keys(placement)) if (key !== 'constraints') notes.push({ where: `${where}.${key}`, what: 'not honoured' });
  return selector;
}

/** Keys of Compose that need nothing: what they ask for is so in any case. */
const needless: ReadonlySet<string> = new Set(['expose', 'profiles', 'scale', 'depends_on']);
const handled: ReadonlySet<string> = new Set([
  'image', 'build', 'pull_policy', 'entrypoint', 'command', 'working_dir', 'environment', 'env_file', 'tty', 'stdin_open', 'healthcheck', 'deploy', 'cpus', 'mem_limit', 'mem_reservation',
  'user', 'privileged', 'read_only', 'cap_add', 'cap_drop', 'security_opt', 'volumes', 'tmpfs', 'shm_size', 'secrets', 'configs', 'ports', 'labels', 'annotations', 'restart', 'networks',
  'hostname', 'network_mode', 'pid', 'ipc', 'stop_grace_period', 'extra_hosts', 'dns', 'dns_search', 'platform', 'sysctls', 'group_add',
]);
const said: Readonly<Record<string, string>> = {
  container_name: 'not honoured: pods have names of their own; the service is found by its own name',
  links: 'not honoured: each service is found by its name', external_links: 'not honoured: each service is found by its name',
  extends: 'not honoured: write the service out (docker compose config does that)',
  devices: "not honoured: 'cleat device add' makes a class of them, which a pod asks for in its resources; privileged: true gives all",
  logging: "not honoured: 'cleat logs' shows what containers write",
};
const handledOfDeploy: ReadonlySet<string> = new Set(['replicas', 'resources', 'placement', 'mode', 'labels']);

/** Says which keys of a service are not honoured. */
export function noteUnknown(service: Raw, where: string, notes: Note[]): void {
  for (const key of Object.keys(service)) if (!handled.has(key) && !needless.has(key) && !key.startsWith('x-')) notes.push({ where: `${where}.${key}`, what: said[key] ?? 'not honoured' });
  for (const key of Object.keys(mapOf(service['deploy'], `${where}.deploy`))) if (!handledOfDeploy.has(key) && !key.startsWith('x-')) notes.push({ where: `${where}.deploy.${key}`, what: 'not honoured' });
  if (service['depends_on'] !== undefined) notes.push({ where: `${where}.depends_on`, what: 'only the order in which things are made: nothing waits for it to be healthy, and a program that needs it is started again until it is there' });
  if (service['networks'] !== undefined) notes.push({ where: `${where}.networks`, what: 'not honoured: all services reach each other; NetworkPolicies divide them' });
  const restart = service['restart'];
  if (restart === 'no' || restart === false || (typeof restart === 'string' && restart.startsWith('on-failure'))) notes.push({ where: `${where}.restart`, what: 'what ends is started again, as with always; what is to end is a Job' });
  if (truth(service['privileged'], `${where}.privileged`)) notes.push({ where: `${where}.privileged`, what: 'honoured; the namespace must allow it (pod-security.kubernetes.io/enforce)' });
  if (service['scale'] !== undefined) integerOf(service['scale'], `${where}.scale`);
}
