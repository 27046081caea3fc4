import type { Check, Finding } from '../types.ts';

interface Feature { readonly module: string; readonly without: 'warn' | 'fail'; readonly why: string; readonly fix: string }

/** What the kernel must be able to do; `ip_tables` and `ip_vs` only serve those who choose them. */
export const features: readonly Feature[] = [
  { module: 'veth', without: 'fail', why: 'pods cannot have a network', fix: 'boot a kernel with CONFIG_VETH' },
  { module: 'nf_conntrack', without: 'fail', why: 'Services cannot be routed', fix: 'boot a kernel with CONFIG_NF_CONNTRACK' },
  { module: 'nf_tables', without: 'warn', why: 'Services are routed by iptables, which is slower, and network policies do not hold', fix: 'boot a kernel with CONFIG_NF_TABLES' },
  { module: 'overlay', without: 'warn', why: 'each container gets a whole copy of its image', fix: 'boot a kernel with CONFIG_OVERLAY_FS' },
  { module: 'wireguard', without: 'warn', why: 'hosts that share no link cannot be joined by WireGuard', fix: 'a kernel from 5.6 on has it; VXLAN takes its place between hosts that can reach each other' },
  { module: 'vxlan', without: 'warn', why: 'there is no way between hosts that share no link where WireGuard is missing on one', fix: 'boot a kernel with CONFIG_VXLAN; it is only needed where WireGuard is missing' },
];

const oldest = [5, 4] as const;

export const kernel: Check = (readings) => {
  const { release, machine } = readings.kernel;
  const [major = 0, minor = 0] = release.split('.').map((part) => Number.parseInt(part, 10));
  const old = major < oldest[0] || (major === oldest[0] && minor < oldest[1]);
  const findings: Finding[] = [old
    ? { check: 'kernel', level: 'warn', what: `${release} is older than ${oldest.join('.')}`, why: 'Cleat is not tried on it', fix: 'install the kernel of a newer release of this distribution' }
    : { check: 'kernel', level: 'ok', what: `${release} on ${machine}` }];
  const bits32 = /^(armv[67]l|i[3-6]86)$/.test(machine);
  if (bits32) findings.push({ check: 'kernel', level: 'fail', what: `${machine} has 32 bits`, why: 'there is no Node 24 for it', fix: 'install a 64-bit system: Raspberry Pi OS (64-bit) runs on a Pi 3 and later' });
  if (readings.modulesThere === false) {
    findings.push({ check: 'kernel', level: 'fail', what: `the modules of the running kernel ${release} are gone`, why: 'the kernel was updated: what is not loaded yet cannot be loaded any more', fix: 'sudo reboot' });
  }
  return [...findings, ...moduleFindings(readings.features, readings.modulesThere), ...inotify(readings.inotifyInstances)];
};

function moduleFindings(states: Readonly<Record<string, string>>, modulesThere: boolean | undefined): Finding[] {
  const findings: Finding[] = [];
  const of = (state: string): Feature[] => features.filter(({ module }) => (states[module] ?? 'unknown') === state);
  const named = (list: readonly Feature[]): string => list.map(({ module }) => module).join(', ');
  for (const { module, without, why, fix } of of('missing')) findings.push({ check: 'modules', level: without, what: `this kernel has no ${module}`, why, fix: modulesThere === false ? 'sudo reboot' : fix });
  for (const feature of of('loadable')) {
    findings.push({
      check: 'modules', level: 'ok', what: `${feature.module} is not loaded yet; the kernel does so at first use`,
      repair: { does: `loaded ${feature.module}`, command: ['modprobe', feature.module] },
    });
  }
  if (of('ready').length > 0) findings.push({ check: 'modules', level: 'ok', what: `in the kernel: ${named(of('ready'))}` });
  if (of('unknown').length > 0) findings.push({ check: 'modules', level: 'ok', what: `this kernel does not tell whether it has ${named(of('unknown'))}` });
  return findings;
}

function inotify(instances: number | undefined): Finding[] {
  if (instances === undefined || instances >= 128) return [];
  return [{
    check: 'inotify', level: 'warn', what: `each user may watch files ${String(instances)} times only`, why: 'programs in pods fail with "too many open files"',
    fix: 'echo fs.inotify.max_user_instances=1024 | sudo tee /etc/sysctl.d/90-inotify.conf && sudo sysctl --system',
    repair: { does: 'raised fs.inotify.max_user_instances to 1024 until the next reboot', command: ['sysctl', '-qw', 'fs.inotify.max_user_instances=1024'] },
  }];
}
