import { bool, durationMs, integer, list, text, type Values } from '#common/config.ts';
import { AddressPool } from '#api/load-balancer/pool.ts';
import { messageOf } from '#common/errors.ts';
import { checkIp, hostSettings } from '#common/host-settings.ts';

export const controlPlaneSettings = {
  ...hostSettings,
  port: integer('port', { default: 6443, min: 1, max: 65_535, placeholder: 'PORT', description: 'port of the API and of the agents' }),
  bindAddress: text('bind-address', { default: '::', placeholder: 'IP', description: 'address to listen on', check: checkIp }),
  advertiseAddress: text('advertise-address', { default: '', placeholder: 'IP', description: 'address that others reach this host by; found out when not given', check: checkIp }),
  furtherAddresses: list('further-addresses', { default: [], placeholder: 'HOSTS', description: 'names and addresses at which agents look for the control plane where they do not find it: said before it moves, they follow' }),
  kubeconfig: text('kubeconfig', { default: '/etc/cleat/kubeconfig', placeholder: 'FILE', description: 'where the admin kubeconfig is written' }),
  tlsSan: list('tls-san', { default: [], placeholder: 'NAMES', description: 'more names and addresses for the server certificate' }),
  tokenAuthFile: text('token-auth-file', { default: '', placeholder: 'FILE', description: 'bearer tokens: token,user,uid,"group1,group2" per line' }),
  auditLogPath: text('audit-log-path', { default: '', placeholder: 'FILE', description: 'record requests here, as JSON lines; nothing is recorded without it' }),
  auditPolicyFile: text('audit-policy-file', { default: '', placeholder: 'FILE', description: 'what is recorded, as a Policy of audit.k8s.io/v1; the metadata of every request when not given' }),
  auditLogMaxSizeMb: integer('audit-log-maxsize', { default: 100, min: 1, max: 1e6, placeholder: 'MB', description: 'size at which the audit log begins a new file' }),
  auditLogMaxBackups: integer('audit-log-maxbackup', { default: 5, min: 0, max: 1e6, description: 'older audit logs that are kept; 0: all' }),
  auditLogMaxAgeDays: integer('audit-log-maxage', { default: 0, min: 0, max: 36_500, placeholder: 'DAYS', description: 'age at which older audit logs are removed; 0: never' }),
  heartbeatPeriodMs: durationMs('heartbeat-period', { default: 10_000, description: 'how often agents report that they live' }),
  nodeMonitorGracePeriodMs: durationMs('node-monitor-grace-period', { default: 40_000, description: 'silence after which a node counts as lost' }),
  notReadyTolerationSeconds: integer('default-not-ready-toleration-seconds', { default: 300, min: 0, max: 1e9, description: 'how long pods stay on a node that is not ready, unless they say otherwise' }),
  unreachableTolerationSeconds: integer('default-unreachable-toleration-seconds', { default: 300, min: 0, max: 1e9, description: 'how long pods stay on a lost node, unless they say otherwise' }),
  loadBalancer: text('load-balancer', { default: 'hosts', placeholder: 'hosts|off', description: "what gives Services of type LoadBalancer their addresses: every host's own, or nobody here", check: (value) => (value === 'hosts' || value === 'off' ? undefined : 'expected hosts or off') }),
  loadBalancerPool: text('load-balancer-pool', {
    default: '', placeholder: 'RANGES', description: 'addresses of the local network that nobody uses, for Services of type LoadBalancer: each gets one of its own, which one healthy host answers for; e.g. 192.168.1.240-192.168.1.250',
    check: poolProblem,
  }),
  dualStack: bool('dual-stack', { default: false, description: 'IPv6 beside IPv4 for pods and Services: where no IPv6 ranges are given, a private network (ULA) is made up once and kept; may be added later' }),
  schedulerConfig: text('scheduler-config', { default: '', placeholder: 'FILE', description: 'profiles of the scheduler, as a KubeSchedulerConfiguration; one named default-scheduler when not given' }),
  backupPeriodMs: durationMs('backup-period', { default: 0, description: 'how often a backup is made, e.g. 24h; 0: never' }),
  backupKeep: integer('backup-keep', { default: 7, min: 1, max: 10_000, description: 'how many of these backups are kept' }),
  backupDir: text('backup-dir', { default: '', placeholder: 'DIR', description: 'where they are kept; below the state directory when not given' }),
  backupKeyFile: text('backup-key-file', { default: '', placeholder: 'FILE', description: 'file whose contents seal them' }),
  backupNode: text('backup-node', { default: '', placeholder: 'NAME', description: "node whose host keeps them, too, below its state directory; goes with --backup-key-file" }),
  etcdServers: list('etcd-servers', {
    default: [], placeholder: 'URLS', description: 'keep the cluster in this etcd, and share it with other control planes: one leads, the others wait and hand on what comes; kept on this host when not given',
    check: serverProblem,
  }),
  etcdCafile: text('etcd-cafile', { default: '', placeholder: 'FILE', description: "CA of etcd's certificate" }),
  etcdCertfile: text('etcd-certfile', { default: '', placeholder: 'FILE', description: 'certificate to show to etcd' }),
  etcdKeyfile: text('etcd-keyfile', { default: '', placeholder: 'FILE', description: 'its key' }),
  etcdPrefix: text('etcd-prefix', { default: '/cleat/', placeholder: 'PREFIX', description: 'of all keys in etcd', check: (value) => (/^\/.*\/$/.test(value) ? undefined : 'expected a prefix that begins and ends with a slash') }),
  storeRecover: bool('store-recover', { default: false, description: 'repair a damaged store, keeping all that is readable, and say what was lost' }),
} as const;

export type ControlPlaneConfig = Values<typeof controlPlaneSettings>;

/** Of the store: what another host may not take over together with a backup. */
export const etcdFlags = ['etcd-servers', 'etcd-cafile', 'etcd-certfile', 'etcd-keyfile', 'etcd-prefix'] as const;

function serverProblem(url: string): string | undefined {
  const parsed = URL.parse(url);
  return parsed && ['http:', 'https:'].includes(parsed.protocol) && parsed.host !== '' && parsed.pathname === '/' ? undefined : `expected URLs such as https://10.0.0.1:2379, not ${url}`;
}

function poolProblem(ranges: string): string | undefined {
  try {
    AddressPool.parse(ranges.split(','));
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
