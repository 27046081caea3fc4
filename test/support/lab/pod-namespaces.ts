import { join } from 'node:path';
import type { LabHost } from './host.ts';

const probe = join(import.meta.dirname, 'net-probe.ts');

/** Makes a pod of a host as Cleat's own network makes it: a network namespace with a routed link. */
export async function addPod(host: LabHost, name: string, ip: string): Promise<void> {
  const gateway = ip.replace(/\d+$/, '1');
  await host.sh(`echo 1 > /proc/sys/net/ipv4/ip_forward
    ip netns add ${name}
    ip link add v${name} type veth peer name eth0 netns ${name}
    ip addr add ${gateway}/32 dev v${name}; ip link set v${name} up; ip route add ${ip} dev v${name}
    ip -n ${name} addr add ${ip}/32 dev eth0; ip -n ${name} link set eth0 up; ip -n ${name} link set lo up
    ip -n ${name} route add ${gateway} dev eth0; ip -n ${name} route add default via ${gateway}`);
}

/** A server in a pod, or on the host itself, that answers with its name and the client's address. */
export async function serve(host: LabHost, name: string, port: number, pod?: string): Promise<void> {
  const inPod = pod === undefined ? [] : ['ip', 'netns', 'exec', pod];
  await host.spawn(`serve-${name}-${String(port)}`, 'env', [...inPod, 'node', probe, 'serve', name, String(port)]).waitForOutput('ready');
}

/** One exchange from a pod or the host: the server's answer, or `timeout`. */
export async function ask(host: LabHost, pod: string | undefined, address: string, port: number, protocol: 'tcp' | 'udp' = 'tcp'): Promise<string> {
  const inPod = pod === undefined ? [] : ['ip', 'netns', 'exec', pod];
  if (protocol === 'udp') {
    const [answer = ''] = JSON.parse(await host.execOk('env', [...inPod, 'node', probe, 'ask', protocol, address, String(port), '1'], { timeoutMs: 60_000 })) as string[];
    return answer;
  }
  // Bash starts in no time; tests ask often.
  const script = `exec 3<>/dev/tcp/${address}/${String(port)} && echo ? >&3 && read -r answer <&3; echo "$answer"`;
  const { stdout } = await host.exec('timeout', ['1.5', ...inPod, 'bash', '-c', script]);
  return stdout.trim() || 'timeout';
}
