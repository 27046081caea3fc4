import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { createLab, type Lab } from '../support/lab/lab.ts';

const root = join(import.meta.dirname, '../..');
let lab: Lab | undefined;
afterEach(async () => { await lab?.destroy(); });

/** A containerd as an administrator has it: its own folders, and the sandbox image that its package names. */
const config = (binDir: string): string => `version = 2
root = "/var/lib/cleat/administrators-containerd"
state = "/run/administrators-containerd"
[grpc]
  address = "/run/host-containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${binDir}"
`;

it('runs pods on a containerd that is already there: its folders, its sandbox image, no registry', async () => {
  lab = await createLab({ hosts: 1 });
  const host = lab.host(0);
  await host.sh('mkdir -p /etc/containerd; cat > /etc/containerd/config.toml', { input: config('/usr/lib/cni') });
  host.spawn('containerd', 'containerd', ['-c', '/etc/containerd/config.toml']);
  const up = host.spawn('up', join(root, 'cleat'), ['up', '--runtime-endpoint=/run/host-containerd.sock', '--apply=examples/hello.yaml', `--node-ip=${host.address}`], { cwd: root });
  await up.waitForOutput('Hello from', 60_000);
  const images = await host.execOk('ctr', ['-a', '/run/host-containerd.sock', '-n', 'k8s.io', 'images', 'ls', '-q']);
  expect(images).toContain('registry.k8s.io/pause');
  expect(await host.sh('ls /etc/cni/net.d; cat /var/lib/cleat/ledger.jsonl')).toMatch(/10-cleat\.conflist[\s\S]*"\/etc\/cni\/net\.d\/10-cleat\.conflist"/);
  expect(await host.sh('ls -d /run/cleat/*/ 2>/dev/null || echo no containerd of our own')).toContain('no containerd of our own');
});

it('leaves pods to the CNI configuration that is there', async () => {
  lab = await createLab({ hosts: 1 });
  const host = lab.host(0);
  const other = { cniVersion: '1.0.0', name: 'other', plugins: [{ type: 'bridge', bridge: 'other0', isGateway: true, ipMasq: true, hairpinMode: true, ipam: { type: 'host-local', ranges: [[{ subnet: '10.99.0.0/24' }]], routes: [{ dst: '0.0.0.0/0' }] } }] };
  await host.sh('mkdir -p /etc/containerd /etc/cni/net.d; cat > /etc/containerd/config.toml', { input: config('/usr/lib/cni') });
  await host.sh('cat > /etc/cni/net.d/05-other.conflist', { input: JSON.stringify(other) });
  host.spawn('containerd', 'containerd', ['-c', '/etc/containerd/config.toml']);
  const up = host.spawn('up', join(root, 'cleat'), ['up', '--runtime-endpoint=/run/host-containerd.sock', '--apply=examples/hello.yaml', `--node-ip=${host.address}`], { cwd: root });
  await up.waitForOutput('Hello from', 60_000);
  expect(await host.execOk(join(root, 'cleat'), ['get', 'pods', '-o', 'wide'])).toContain('10.99.0.');
  expect(await host.sh('ls /etc/cni/net.d')).toBe('05-other.conflist\n');
});

it('says what to do about a containerd whose plugins are missing', async () => {
  const message = /looks for CNI plugins in \/nowhere\/cni, and ptp is not there; install the plugins there/;
  lab = await createLab({ hosts: 1 });
  const host = lab.host(0);
  await host.sh('mkdir -p /etc/containerd /etc/cni/net.d; cat > /etc/containerd/config.toml', { input: config('/nowhere/cni') });
  host.spawn('containerd', 'containerd', ['-c', '/etc/containerd/config.toml']);
  const up = host.spawn('up', join(root, 'cleat'), ['up', '--runtime-endpoint=/run/host-containerd.sock', `--node-ip=${host.address}`], { cwd: root });
  await up.waitForOutput(message, 30_000);
});
