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
export async function ask(host: LabHost, pod: string | undefined, address: string, port: number, protocol: 'tcp' | 'udp' = 'tcp', timeoutSeconds = 1.5): Promise<string> {
  const inPod = pod === undefined ? [] : ['ip', 'netns', 'exec', pod];
  if (protocol === 'udp') {
    const [answer = ''] = JSON.parse(await host.execOk('env', [...inPod, 'node', probe, 'ask', protocol, address, String(port), '1', '0', String(timeoutSeconds * 1000)], { timeoutMs: 60_000 })) as string[];
    return answer;
  }
  // Bash starts in no time; tests ask often.
  const script = `exec 3<>/dev/tcp/${address}/${String(port)} && echo ? >&3 && read -r answer <&3; echo "$answer"`;
  const { stdout } = await host.exec('timeout', [String(timeoutSeconds), ...inPod, 'bash', '-c', script]);
  return stdout.trim() || 'timeout';
}

/** Node has no SCTP. */
function python(pod: string | undefined, script: string): string[] {
  const socket = 'import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)\n';
  return [...(pod === undefined ? [] : ['ip', 'netns', 'exec', pod]), 'python3', '-c', socket + script];
}

/** A server in a pod that says its name to who connects by SCTP, where the kernel has that. */
export async function serveSctp(host: LabHost, name: string, port: number, pod: string): Promise<void> {
  const script = `s.bind(('0.0.0.0', ${String(port)}))\ns.listen(5)\nprint('ready', flush=True)\nwhile True:\n  c, _ = s.accept()\n  c.send(b'${name}')\n  c.close()`;
  await host.spawn(`sctp-${name}-${String(port)}`, 'env', python(pod, script)).waitForOutput('ready');
}

/** What the server says to one connection by SCTP, or `timeout`. */
export async function askSctp(host: LabHost, pod: string | undefined, address: string, port: number, timeoutSeconds = 10): Promise<string> {
  const script = `s.settimeout(${String(timeoutSeconds)})\ntry:\n  s.connect(('${address}', ${String(port)}))\n  print(s.recv(9).decode())\nexcept TimeoutError:\n  print('timeout')`;
  return (await host.execOk('env', python(pod, script))).trim();
}
