import type { Check, Finding } from '../types.ts';

/** Program → package by distribution's package manager: apt, dnf, apk. */
const packages: Readonly<Record<string, readonly [apt: string, dnf: string, apk: string]>> = {
  containerd: ['containerd', 'containerd', 'containerd'], runc: ['runc', 'runc', 'runc'], nft: ['nftables', 'nftables', 'nftables'],
  ip: ['iproute2', 'iproute', 'iproute2'], conntrack: ['conntrack', 'conntrack-tools', 'conntrack-tools'], cni: ['containernetworking-plugins', 'containernetworking-plugins', 'cni-plugins'],
};

export const runtime: Check = ({ programs, cniPlugins, processes, role }) => {
  if (role === 'server') return [];
  const has = (name: string): boolean => programs[name] !== undefined;
  const install = (...names: string[]): string => {
    const pick = has('apt-get') ? 0 : has('dnf') ? 1 : has('apk') ? 2 : undefined;
    const list = names.map((name) => packages[name]?.[pick ?? 0] ?? name).join(' ');
    return pick === undefined ? `install ${list}` : `sudo ${['apt-get install -y', 'dnf install -y', 'apk add'][pick] ?? ''} ${list}`;
  };
  const findings: Finding[] = [];
  const docker = has('dockerd') || processes.has('dockerd');
  if (has('containerd') && (has('runc') || has('crun'))) findings.push({ check: 'runtime', level: 'ok', what: `containerd (${programs['containerd'] ?? ''}) with ${has('runc') ? 'runc' : 'crun'}` });
  else if (docker) findings.push({ check: 'runtime', level: 'ok', what: 'Docker' });
  else findings.push({ check: 'runtime', level: 'fail', what: has('containerd') ? 'there is containerd, but neither runc nor crun' : 'there is neither containerd nor Docker', why: 'nothing can run pods', fix: install(...(has('containerd') ? [] : ['containerd']), 'runc') });

  const plugins = ['ptp', 'host-local'].filter((name) => !cniPlugins.includes(name));
  if (plugins.length > 0) findings.push({ check: 'runtime', level: 'fail', what: `CNI plugins are missing: ${plugins.join(', ')}`, why: 'pods cannot have a network', fix: install('cni') });
  if (!has('ip')) findings.push({ check: 'tools', level: 'fail', what: 'the program ip is missing', why: 'routes to pods cannot be made', fix: install('ip') });
  if (!has('nft')) {
    findings.push(has('iptables')
      ? { check: 'tools', level: 'warn', what: 'the program nft is missing', why: 'Services are routed by iptables, which is slower, and network policies do not hold', fix: install('nft') }
      : { check: 'tools', level: 'fail', what: 'there is neither nft nor iptables', why: 'Services cannot be routed', fix: install('nft') });
  }
  if (!has('conntrack')) findings.push({ check: 'tools', level: 'warn', what: 'the program conntrack is missing', why: 'UDP clients keep talking to pods that are gone', fix: install('conntrack') });
  if (!findings.some(({ check }) => check === 'tools')) findings.push({ check: 'tools', level: 'ok', what: 'nft, ip, conntrack' });
  return findings;
};
