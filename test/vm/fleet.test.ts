import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { execOk } from '#common/exec.ts';
import { containerdPaths } from '#agent/runtimes/containerd/paths.ts';
import { eventually } from '../support/lab/eventually.ts';
import { VirtualLab, type VirtualHost } from '../support/lab/virtual-host.ts';

const root = join(import.meta.dirname, '../..');
/** How often the power of one of the hosts is cut; `sh install/test-vm.sh --reboots 100` for the long form. */
const reboots = Number(process.env['REBOOTS'] ?? 3);
/** Cuts of the other host's power for each of the control plane's, which is off meanwhile. */
const cutsAlone = 3;
/** Of the cluster's DNS. */
const dns = '10.43.0.10';
/** Answers from pods of the host that asks alone, so that nothing depends on a host that is off. */
const here = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'here' }, spec: { internalTrafficPolicy: 'Local', selector: { app: 'hello' }, ports: [{ port: 80, targetPort: 'http' }] } };

/** Lines that went and came; empty when there are none. */
function difference(before: string, after: string): string {
  const [old, now] = [before.split('\n'), after.split('\n')];
  return [...old.map((line, i) => (now[i] === line ? '' : `-${line}`)), ...now.map((line, i) => (old[i] === line ? '' : `+${line}`))].filter(Boolean).join(' ');
}

/** Two hosts with kernels, disks and systemd of their own: installed, joined, running pods, and their power cut again and again. */
describe('a fleet whose hosts lose their power', () => {
  let lab: VirtualLab;
  let server: VirtualHost;
  let other: VirtualHost;
  let dist = '';
  const cleat = (args: string): Promise<string> => server.sh(`cleat ${args}`, 120_000);
  const journal = async (): Promise<string> => (await Promise.all(lab.hosts.map((host) => host.exec("journalctl -n 40 --no-pager -u 'cleat-*'").then(({ stdout }) => `--- ${host.name}\n${stdout}`, () => '')))).join('\n');
  const until = (what: string, condition: () => Promise<boolean>, timeoutMs = 240_000): Promise<unknown> => eventually(() => condition().catch(() => false), { what, timeoutMs, intervalMs: 500, explain: journal });
  /** On a machine that is busy with something else the server may take longer than the script waits: run again, that goes on. */
  const install = (host: VirtualHost, words: string): Promise<unknown> => until(`${host.name} to be installed`, async () => (await host.exec(`sh ${dist}/install.sh ${words} --no-packages`, 300_000)).exitCode === 0, 600_000);
  const bothReady = (): Promise<unknown> => until('both nodes to be Ready', async () => (await cleat('get nodes --no-headers')).match(/ Ready /g)?.length === 2);
  let address = '';
  const ctr = `ctr -a ${containerdPaths('/var/lib/cleat').socket} -n k8s.io`;
  const containers = (host: VirtualHost): Promise<string> => host.sh(`${ctr} tasks ls | awk '$3 == "RUNNING" { print $1 }' | sort`);
  /** A pod of the host finds the Service by its name, and a pod of the same host behind its address. */
  const serves = (host: VirtualHost): Promise<unknown> => until(`a pod of ${host.name} to be served`, async () => (await host.sh(`
    pid=$(${ctr} tasks ls | awk '$3 == "RUNNING" { print $2; exit }')
    in_pod() { nsenter -t "$pid" -n timeout 10 busybox "$@"; }
    in_pod nslookup -type=a here.default.svc.cluster.local ${dns} | grep -F ${address} >&2
    in_pod wget -qO- http://${address}/`)).includes('Hello from'));
  /** What must be the same after any number of power cuts. */
  const inventory = (host: VirtualHost): Promise<string> => host.sh(`
    find /etc/cleat /etc/systemd/system /usr/local/bin/cleat* -xdev | sort
    ls /var/lib/cleat
    ip -o link | sed 's/^[0-9]*: //; s/[@:].*//' | grep -v -e veth -e '^cleat-' | sort
    echo pods; ls /var/lib/cleat/pods | wc -l; echo shims; ps -eo args | grep -c '[c]ontainerd-shim-runc-v2'; echo networks; ls /var/lib/cni/results | grep -c '^cleat-'
    systemctl list-units --no-legend --plain --state=failed 'cleat*'`);

  beforeAll(async () => {
    dist = join(root, 'node_modules/.cache/vm-dist');
    await execOk(process.execPath, [join(root, 'install/build/build.ts'), '--out', dist, '--compression', '1'], { timeoutMs: 600_000 });
    lab = await VirtualLab.create(2);
    [server, other] = [lab.host(0), lab.host(1)];
  });
  afterAll(async () => { await lab?.destroy(); });

  it('is installed, joined and serves a page', async () => {
    await install(server, `--server --advertise-address ${server.address}`);
    const token = (await cleat('token create --token-only')).trim();
    await install(other, `--join https://${server.address}:6443 --token ${token}`);
    await bothReady();
    await cleat(`apply -f ${root}/examples/hello.yaml`);
    await server.sh(`echo '${JSON.stringify(here)}' | cleat apply -f -`);
    address = (await cleat("get service here -o jsonpath='{.spec.clusterIP}'")).trim();
    await until('all copies', async () => (await cleat("get deployment hello -o jsonpath='{.status.availableReplicas}'")).trim() === '3');
    for (const host of lab.hosts) await serves(host);
  });

  it(`starts its pods, answers Services and names after each of ${String(reboots)} power cuts, most of them while the control plane is off, and is the same in the end`, async () => {
    const before = await Promise.all(lab.hosts.map(inventory));
    /** From power to the page, of the host that comes up alone. */
    const seconds: number[] = [];
    for (let cuts = 0; cuts < reboots;) {
      await server.crash();
      cuts++;
      for (let alone = 0; alone < cutsAlone && cuts < reboots; alone++, cuts++) {
        await other.crash();
        const poweredOn = performance.now();
        await other.boot();
        await serves(other);
        seconds.push(Math.round((performance.now() - poweredOn) / 100) / 10);
        console.log(`cut ${String(cuts + 1)} of ${String(reboots)}: served without a control plane after ${String(seconds.at(-1))} s`);
      }
      const running = await containers(other);
      await server.boot();
      await bothReady();
      for (const host of lab.hosts) await serves(host);
      // Its return ends nothing that runs.
      expect(await containers(other)).toBe(running);
    }
    seconds.sort((a, b) => a - b);
    console.log(`${String(reboots)} power cuts, ${String(seconds.length)} of them alone: served after ${String(seconds[seconds.length >> 1])} s (half of them), ${String(seconds.at(-1))} s (all)`);
    for (const [i, host] of lab.hosts.entries()) await eventually(async () => { expect(difference(before[i] ?? '', await inventory(host))).toBe(''); return true; }, { what: `${host.name} to be as it was`, timeoutMs: 120_000, intervalMs: 1000 });
  }, 900_000 + reboots * 120_000);

  it('goes on, with the same containers, when a clock is years off and when certificates have expired', async () => {
    const year = 31_557_600;
    let running = await containers(other);
    const pod = (await cleat(`get pods --field-selector spec.nodeName=${other.name} -o jsonpath='{.items[0].metadata.name}'`)).trim();
    /** By the agent's connection, made since it was started. */
    const reachable = (): Promise<unknown> => until(`${other.name} to be reached`, async () => (await cleat(`exec ${pod} -- echo here`)).includes('here'));
    const set = (host: VirtualHost, seconds: number): Promise<string> => host.sh(`date -s @${String(seconds)}`);
    const now = Math.floor(Date.now() / 1000);
    // No kernel sets its clock to a time before its own start: a day into 1970.
    // Ten years ahead the server's certificate has expired for this host: that waits for a clock that is right, its pods do not.
    for (const { seconds, meets } of [{ seconds: 86_400, meets: true }, { seconds: now + 10 * year, meets: false }, { seconds: now - 5 * year, meets: true }]) {
      // Under an agent that runs, and under one that starts with it.
      await set(other, seconds);
      await serves(other);
      await other.sh('systemctl stop cleat-agent');
      await set(other, seconds);
      await other.sh('systemctl start cleat-agent', 120_000);
      if (meets) await reachable();
      await serves(other);
      expect(await containers(other)).toBe(running);
    }
    // A clock without a battery, and a host that was off for three years: every certificate of before has expired, and so have the server's own.
    // From 1970 systemd takes its clock to the day that it was built.
    for (const { clock, since } of [{ clock: 86_400, since: now }, { clock: now + 3 * year, since: now + 3 * year }]) {
      await other.crash();
      await set(server, since);
      await server.sh('systemctl restart cleat-controlplane cleat-agent', 240_000);
      await other.boot({ clock });
      expect(Math.abs(Number(await other.sh('date +%s')) - now)).toBeGreaterThan(86_400);
      await serves(other);
      running = await containers(other);
      await reachable();
      await bothReady();
      for (const host of lab.hosts) await serves(host);
      expect(await containers(other)).toBe(running);
    }
  });
});
