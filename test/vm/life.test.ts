import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { containerdPaths } from '#agent/runtimes/containerd/paths.ts';
import { execOk } from '#common/exec.ts';
import { eventually } from '../support/lab/eventually.ts';
import { VirtualLab, type VirtualHost } from '../support/lab/virtual-host.ts';

const root = join(import.meta.dirname, '../..');
const ctr = `ctr -a ${containerdPaths('/var/lib/cleat').socket} -n k8s.io`;
/** What the hosts' router would know. */
const name = 'home.lan';

/** Years of a fleet in order: installed, every address changed, upgraded, backed up, restored on a machine that it had never seen, and taken off. */
describe("a fleet's life", () => {
  let lab: VirtualLab;
  let server: VirtualHost;
  let other: VirtualHost;
  let fresh: VirtualHost;
  const [dist, next] = ['vm-dist', 'vm-dist-next'].map((folder) => join(root, 'node_modules/.cache', folder)) as [string, string];
  const journal = async (): Promise<string> => (await Promise.all(lab.hosts.map((host) => host.exec("journalctl -n 40 --no-pager -u 'cleat-*'").then(({ stdout }) => `--- ${host.name}\n${stdout}`, () => '')))).join('\n');
  const until = (what: string, condition: () => Promise<boolean>, timeoutMs = 240_000): Promise<unknown> => eventually(() => condition().catch(() => false), { what, timeoutMs, intervalMs: 500, explain: journal });
  const install = (host: VirtualHost, from: string, words: string): Promise<unknown> => until(`${host.name} to be installed`, async () => (await host.exec(`sh ${from}/install.sh ${words} --no-packages`, 300_000)).exitCode === 0, 600_000);
  const ready = (on: VirtualHost, count: number): Promise<unknown> => until(`${String(count)} nodes to be Ready`, async () => (await on.sh('cleat get nodes --no-headers', 60_000)).match(/ Ready /g)?.length === count);
  const containers = (): Promise<string> => other.sh(`${ctr} tasks ls | awk '$3 == "RUNNING" { print $1 }' | sort`);
  const called = (address: string): Promise<string[]> => Promise.all(lab.hosts.map((host) => host.sh(`sed -i '/ ${name}$/d' /etc/hosts; echo '${address} ${name}' >>/etc/hosts`)));
  const move = (host: VirtualHost, address: string): Promise<string> => host.sh(`
    set -- $(ip -o -4 addr show to 10.88.255.0/24 | awk '{ print $2, $4 }')
    ip addr del "$2" dev "$1"; ip addr add ${address}/24 dev "$1"; ip route replace default via 10.88.255.1`);
  /** What nothing of Cleat may be left of. */
  const inventory = (host: VirtualHost): Promise<string> => host.sh(`
    find /etc/cleat /etc/cni /etc/systemd /etc/containerd /etc/sysctl.d /etc/modules-load.d /usr/local/bin /opt/cni /var/lib/cleat /var/cache/cleat /var/lib/cni /run/cleat* -xdev 2>/dev/null | sort
    ip -o link | sed 's/^[0-9]*: //; s/[@:].*//' | sort; ip rule; nft list ruleset; ls /sys/fs/cgroup | grep -i kube || true
    awk '{ print $5 }' /proc/self/mountinfo | grep -e cleat -e kube || true; ps -eo args | grep -e '[c]ontainerd' -e '[/]cleat' || true`, 240_000);
  let before = '';
  let service = '';
  /** Whatever has just happened to the fleet, its page is there. */
  const serves = (): Promise<unknown> => until(`the page on ${other.name}`, async () => (await other.sh(`timeout 10 busybox wget -qO- http://${service}/`)).includes('Hello from'));

  beforeAll(async () => {
    const build = (out: string, ...args: string[]): Promise<string> => execOk(process.execPath, [join(root, 'install/build/build.ts'), '--out', out, '--compression', '1', ...args], { timeoutMs: 600_000 });
    await build(dist);
    await build(next, '--version', '9.0.0');
    lab = await VirtualLab.create(3);
    [server, other, fresh] = [lab.host(0), lab.host(1), lab.host(2)];
    before = await inventory(other);
  });
  afterAll(async () => { await lab?.destroy(); });

  it('begins with two hosts that know the control plane by a name, and where else it may be some day', async () => {
    await called(server.address);
    await server.sh(`mkdir -p /etc/cleat && echo 'further-addresses: ${fresh.address}' >/etc/cleat/controlplane.yaml`);
    await install(server, dist, `--server --advertise-address ${server.address}`);
    const token = (await server.sh('cleat token create --token-only', 120_000)).trim();
    await install(other, dist, `--join https://${name}:6443 --token ${token}`);
    await ready(server, 2);
    await server.sh(`cleat apply -f ${dist}/hello.yaml`, 120_000);
    await until('all copies', async () => (await server.sh("cleat get deployment hello -o jsonpath='{.status.availableReplicas}'", 60_000)).trim() === '3');
    service = (await server.sh("cleat get service hello -o jsonpath='{.spec.clusterIP}'", 60_000)).trim();
    await serves();
  });

  it('goes on when every address has changed', async () => {
    const running = await containers();
    await move(server, '10.88.255.31');
    await move(other, '10.88.255.32');
    await called('10.88.255.31');
    await server.sh("sed -i 's/^advertise-address:.*/advertise-address: 10.88.255.31/' /etc/cleat/controlplane.yaml && systemctl restart cleat-controlplane", 240_000);
    await until('both nodes at their new addresses', async () => ['10.88.255.31', '10.88.255.32'].every(((text) => (address: string) => text.includes(address))(await server.sh('cleat get nodes -o wide', 60_000))));
    await ready(server, 2);
    await serves();
    expect(await containers()).toBe(running);
  });

  it('is upgraded', async () => {
    const running = await containers();
    await server.sh(`cleat upgrade --to ${next} --soak=0s --timeout=10m`, 1_500_000);
    expect((await server.sh("cleat get nodes -o jsonpath='{.items[*].status.nodeInfo.kubeletVersion}'", 60_000)).match(/cleat\.9\.0\.0/g)).toHaveLength(2);
    await serves();
    expect(await containers()).toBe(running);
  }, 1_800_000);

  it('is restored on a machine that it had never seen; the other host finds it, and its containers do not notice', async () => {
    const running = await containers();
    const pod = (await server.sh(`cleat get pods --field-selector spec.nodeName=${other.name} -o jsonpath='{.items[0].metadata.name}'`, 60_000)).trim();
    const backup = await server.sh('cleat backup /root/cluster.backup >&2 && base64 /root/cluster.backup', 120_000);
    await server.crash();
    await install(fresh, next, `--server --no-agent --advertise-address ${fresh.address}`);
    await fresh.sh(`base64 -d >/root/cluster.backup <<'END'\n${backup}END\nsystemctl stop cleat-controlplane && cleat restore /root/cluster.backup --force && systemctl start cleat-controlplane`, 240_000);
    await until('the other host to have found it', async () => new RegExp(`^${other.name} +Ready `, 'm').test(await fresh.sh('cleat get nodes --no-headers', 60_000)));
    await until('a pod to be reached', async () => (await fresh.sh(`cleat exec ${pod} -- echo here`, 60_000)).includes('here'));
    await serves();
    expect(await containers()).toBe(running);
  });

  it('ends without a trace', async () => {
    await other.sh('cleat uninstall', 240_000);
    expect(await inventory(other)).toBe(before);
  });
}, 900_000);
