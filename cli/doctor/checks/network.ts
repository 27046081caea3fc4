import type { Check, Finding, HostReadings, Listener } from '../types.ts';

interface Port { readonly protocol: Listener['protocol']; readonly port: number; readonly what: string; readonly of: 'server' | 'agent'; readonly level: 'warn' | 'fail'; readonly fix: string }

const usedPorts: readonly Port[] = [
  { protocol: 'tcp', port: 6443, what: 'the API', of: 'server', level: 'fail', fix: 'stop that, or give the control plane another: port: 7443 in /etc/cleat/controlplane.yaml' },
  { protocol: 'udp', port: 51_871, what: 'WireGuard between hosts', of: 'agent', level: 'warn', fix: 'stop that; it is only needed where hosts share no link' },
  { protocol: 'udp', port: 8472, what: 'VXLAN between hosts', of: 'agent', level: 'warn', fix: 'stop that; it is only needed where there is no WireGuard' },
];

/** Cleat runs as itself, or as Node from a checkout. */
const ours = /^(cleat|node|MainThread)/;

export const ports: Check = ({ role, listeners, processes }) => {
  const findings: Finding[] = [];
  for (const { protocol, port, what, of, level, fix } of usedPorts) {
    if (role !== 'both' && role !== of) continue;
    const name = `${protocol.toUpperCase()} ${String(port)}`;
    const taken = listeners.find((listener) => listener.protocol === protocol && listener.port === port);
    // The kernel's own tunnels have no program.
    if (!taken || (taken.program === undefined ? of === 'agent' || processes.has('cleat') : ours.test(taken.program))) continue;
    findings.push({ check: 'ports', level: taken.program === undefined ? 'warn' : level, what: `${taken.program ?? 'a program of another user'} listens on ${name}`, why: `Cleat needs it for ${what}`, fix });
  }
  return findings.length > 0 ? findings : [{ check: 'ports', level: 'ok', what: 'those that Cleat needs are free, or its own' }];
};

export const firewall: Check = ({ firewall: { ufw, firewalld, dropping, apiAllowed }, role }) => {
  const findings: Finding[] = [];
  const isServer = role !== 'agent';
  const tool = ufw ? 'ufw' : firewalld ? 'firewalld' : undefined;
  if (tool !== undefined) {
    const fix = ufw ? 'sudo ufw allow 6443/tcp' : 'sudo firewall-cmd --permanent --add-port=6443/tcp && sudo firewall-cmd --reload';
    if (isServer && apiAllowed === false) findings.push({ check: 'firewall', level: 'warn', what: `${tool} runs and has no rule for TCP 6443`, why: 'other hosts may not reach the control plane', fix });
    else findings.push({ check: 'firewall', level: 'ok', what: `${tool} runs; the agent has it let pods through${isServer && apiAllowed === undefined ? '. Other hosts need TCP 6443: ' + fix : ''}` });
  }
  for (const { chain, hook } of tool === undefined ? dropping ?? [] : []) {
    if (hook === 'output') continue;
    findings.push(hook === 'forward'
      ? { check: 'firewall', level: 'warn', what: `${chain} drops forwarded packets`, why: 'pods may not reach each other or the world', fix: 'let packets from and to 10.42.0.0/16 through there (docs/firewalls.md)' }
      : { check: 'firewall', level: 'warn', what: `${chain} drops what no rule takes`, why: 'other hosts may not reach this one', fix: `let in ${isServer ? 'TCP 6443 and ' : ''}UDP 51871 from the other hosts` });
  }
  if (findings.length > 0) return findings;
  return [{ check: 'firewall', level: 'ok', what: dropping === undefined ? 'neither ufw nor firewalld; others can only be seen by root' : 'nothing drops packets by default' }];
};

export const dns: Check = ({ dns: { nameservers, lookup }, hostName }) => [...nameServers(nameservers, lookup), ...ownName(hostName)];

function nameServers(nameservers: readonly string[], lookup: HostReadings['dns']['lookup']): Finding[] {
  if (nameservers.length === 0) return [{ check: 'dns', level: 'warn', what: '/etc/resolv.conf names no server', why: 'images cannot be pulled, and pods find no name outside of the cluster', fix: 'have DHCP or the network settings give one, or write: nameserver 192.168.1.1' }];
  if (lookup?.error !== undefined) return [{ check: 'dns', level: 'warn', what: `${lookup.name} cannot be looked up (${lookup.error})`, why: 'images cannot be pulled from there', fix: `see that ${nameservers.join(', ')} can be reached, or load images with: cleat image load` }];
  if (lookup && lookup.tookMs > 2000) return [{ check: 'dns', level: 'warn', what: `${lookup.name} took ${(lookup.tookMs / 1000).toFixed(1)} s to look up`, why: 'a server in /etc/resolv.conf does not answer', fix: `take the one that is silent out of: ${nameservers.join(', ')}` }];
  return [{ check: 'dns', level: 'ok', what: `${nameservers.join(', ')} ${lookup ? 'answers' : 'in /etc/resolv.conf'}` }];
}

function ownName(hostName: string): Finding[] {
  const fix = 'sudo hostnamectl set-hostname pi-1 before this host joins, or --node-name';
  if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/i.test(hostName)) return [{ check: 'name', level: 'fail', what: `the host name ${JSON.stringify(hostName)} is no DNS name`, why: 'it cannot be the name of a node', fix }];
  if (['localhost', 'raspberrypi', 'debian', 'ubuntu', 'alpine'].includes(hostName.toLowerCase())) return [{ check: 'name', level: 'warn', what: `the host is called ${hostName}, as others come`, why: 'two nodes cannot have one name', fix }];
  return [{ check: 'name', level: 'ok', what: hostName }];
}

export const controlPlane: Check = ({ server }) => {
  if (!server) return [];
  if (server.error === undefined) return [{ check: 'server', level: 'ok', what: `${server.url} answers` }];
  return [{ check: 'server', level: 'fail', what: `${server.url} cannot be reached: ${server.error}`, why: 'what runs here goes on, but nothing new comes', fix: 'see that the control plane runs there and that TCP 6443 is let in; another address: server: in /etc/cleat/agent.yaml' }];
};
