import type { LabHost } from './host.ts';

/**
 * Everything that pods leave on a host while they run, as text by kind: what must be the same before the first pod and
 * after the last. Left out is what is meant to stay: images, the last address given, counters.
 */
export async function hostInventory(host: LabHost, containerdSocket: string): Promise<Record<string, string[]>> {
  const ctr = `ctr -a ${containerdSocket} -n k8s.io`;
  const run = containerdSocket.replace(/\/[^/]*$/, '');
  const script = (kind: string, text: string): string => `echo '## ${kind}'; { ${text}; } 2>&1 | sort`;
  const text = await host.sh([
    script('containers', `${ctr} containers ls -q`),
    script('tasks', `${ctr} tasks ls -q`),
    script('snapshots', `${ctr} snapshots ls | awk '$3 == "Active"'`),
    // One that expires is what a containerd that was killed could not give back: its successor collects it when its time, a day, is over.
    script('leases of containerd', `${ctr} leases ls | awk 'NR > 1 && !/containerd\\.io\\/gc\\.expire=/ { print $1 }'`),
    script('sandbox and container folders', `cd /var/lib/cleat/containerd/root/io.containerd.grpc.v1.cri && find sandboxes containers -mindepth 1 -maxdepth 1; find ${run}/containerd/io.containerd.grpc.v1.cri ${run}/containerd/io.containerd.runtime.v2.task -mindepth 2 -maxdepth 2`),
    script('shims', "ps -eo stat,args | grep -v '^Z' | grep -o ' [^ ]*containerd-shim-.*' || true"),
    script('network namespaces', `ls /run/netns /var/run/netns ${run}/containerd/io.containerd.grpc.v1.cri/netns 2>/dev/null || true`),
    script('links', "ip -o link | sed 's/^[0-9]*: //; s/ .*//'"),
    script('addresses', "ip -o addr | awk '{print $2, $3, $4}'"),
    script('routes', 'ip route show table all; ip rule'),
    script('nft', 'nft -s list ruleset'),
    // Those of labs of contract suites, which may run beside this on the machine, come and go.
    script('mounts', "awk '{print $5}' /proc/self/mountinfo | grep -vE '^(/tmp|/run/netns)/cleat-(containerd|ctr|docker)-'"),
    script('cgroups', "find /sys/fs/cgroup -type d -path '*/kubepods/*' ! -name burstable ! -name besteffort"),
    script('address leases', "ls /var/lib/cleat/cni/data/* 2>/dev/null | grep -v '^last_reserved' || true"),
    script('cni results', 'ls /var/lib/cni/results 2>/dev/null || true'),
    script('files', "find /var/lib/cleat -path /var/lib/cleat/containerd/root -prune -o -path /var/lib/cleat/cni/data -prune -o -path '*/agent/checkpoint/*' -prune -o -path '*/agent/running.*' -prune -o -print"),
    script('logs', 'find /var/log/pods /var/log/containers 2>/dev/null || true'),
    'true',
  ].join('\n'), { maxBytes: 16 << 20 });
  const result: Record<string, string[]> = {};
  let kind = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('## ')) result[kind = line.slice(3)] = [];
    else if (line !== '') result[kind]?.push(line);
  }
  return result;
}

/** Lines that `after` has more (`+`) or less (`-`) than `before`, by kind; empty when nothing leaked. */
export function inventoryDiff(before: Record<string, string[]>, after: Record<string, string[]>): string[] {
  return Object.keys(after).flatMap((kind) => {
    const [old, now] = [new Set(before[kind]), new Set(after[kind])];
    return [
      ...[...now].filter((line) => !old.has(line)).map((line) => `+ ${kind}: ${line}`),
      ...[...old].filter((line) => !now.has(line)).map((line) => `- ${kind}: ${line}`),
    ];
  });
}
