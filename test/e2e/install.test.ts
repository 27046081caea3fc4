import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { execOk, type ExecResult } from '#common/exec.ts';
import { version } from '#common/version.ts';
import { makeDeb } from '#install/build/deb.ts';
import { eventually } from '../support/lab/eventually.ts';
import type { LabHost } from '../support/lab/host.ts';
import { createLab, type Lab } from '../support/lab/lab.ts';
import { followReadme } from '../support/newcomer.ts';
import { buildVersionBefore, versionBefore } from '../support/version-before.ts';

const root = join(import.meta.dirname, '../..');

/** `install.sh` from a build, on two hosts whose PID 1 is systemd, as a newcomer would: install, join, see a page; reboot; remove. */
describe('install.sh', () => {
  let lab: Lab;
  let server: LabHost;
  let other: LabHost;
  const pristine = new Map<LabHost, readonly string[]>();
  const install = (host: LabHost, ...args: string[]): Promise<ExecResult> => host.exec('sh', ['/mnt/dist/install.sh', ...args], { timeoutMs: 180_000 });
  const installed = async (host: LabHost, ...args: string[]): Promise<string> => {
    const result = await install(host, ...args);
    expect(result, `install.sh ${args.join(' ')}: ${result.stderr}${result.stdout}`).toMatchObject({ exitCode: 0 });
    return result.stdout;
  };
  const cleat = (...args: string[]): Promise<string> => server.execOk('/usr/local/bin/cleat', args, { timeoutMs: 60_000 });
  const journal = async (): Promise<string> => (await Promise.all(lab.hosts.map((host) => host.exec('journalctl', ['-n', '40', '--no-pager', '-u', 'cleat-*']).then(({ stdout }) => `--- ${host.name}\n${stdout}`, () => '')))).join('\n');
  const until = (what: string, condition: () => Promise<boolean>, timeoutMs = 60_000): Promise<unknown> => eventually(() => condition().catch(() => false), { what, timeoutMs, intervalMs: 200, explain: journal });
  const booted = (host: LabHost): Promise<unknown> => until(`systemd on ${host.name}`, async () => /running|degraded/.test((await host.exec('systemctl', ['is-system-running'])).stdout));
  const files = (host: LabHost): Promise<string> => host.sh("find /etc/cleat /etc/systemd /usr/local/bin /var/lib/cleat /var/cache/cleat -xdev 2>/dev/null | grep -v -e /etc/lab-host | sort; systemctl list-unit-files --no-pager 'cleat*' || true; ip -o addr | awk '{print $2, $4}'; nft list ruleset");

  /** What a host's disk has that the machine's has not (which changes under other tests), but for what systemd writes at any time. */
  const onDisk = async (host: LabHost): Promise<string[]> => {
    const found = await execOk('find', ['etc', 'usr/local', 'var', '-printf', '%y /%p\n'], { cwd: join(host.stateDirectory, '../disk'), maxBytes: 16 << 20 });
    const own = found.split('\n').filter((line) => !/^. \/var\/(?:log\/(?:journal|wtmp|btmp)|lib\/systemd|tmp)\b/.test(line) && !(line.startsWith('d ') && existsSync(line.slice(2))));
    return own.sort();
  };
  /** Everything of a host that could be of Cleat. */
  const inventory = async (host: LabHost): Promise<string[]> => [...await onDisk(host), ...(await host.sh([
    'find /var/lib/cleat -mindepth 1 -maxdepth 1 | sort', 'find /run/cleat* /run/containerd /run/netns -xdev 2>/dev/null | sort', "systemctl list-unit-files --no-pager 'cleat*' || true",
    "ip -o addr | awk '{print $2, $4}'", 'ip route show table all | sort', 'ip rule', 'nft -s list ruleset', "awk '{print $5}' /proc/self/mountinfo | sort", "sysctl -a 2>/dev/null | grep -E 'forward|rp_filter|route_localnet|bridge-nf' | sort",
    "find /sys/fs/cgroup -type d -name 'kubepods*' -not -path '*/unified/*'", "ps -eo stat,comm | grep -v ^Z | grep -E 'containerd|cleat|haproxy' || true",
  ].join('\n'))).split('\n')];

  beforeAll(async () => {
    lab = await createLab({ hosts: 2, systemd: true });
    [server, other] = [lab.host(0), lab.host(1)];
    await Promise.all([
      execOk(process.execPath, [join(root, 'install/build/build.ts'), '--out', join(lab.directory, 'dist'), '--compression', '1'], { timeoutMs: 300_000 }),
      buildVersionBefore(lab.directory, join(lab.directory, 'before')),
      ...lab.hosts.map(booted),
    ]);
    for (const host of lab.hosts) pristine.set(host, await inventory(host));
  }, 330_000);
  afterAll(async () => { await lab?.destroy(); });

  it('says what is wrong with the words it was given, and what it would do, and does nothing', async () => {
    const before = await files(server);
    for (const [args, words] of [
      [[], 'say what this host is to be'], [['--join', 'nonsense'], "--join takes the server's URL"], [['--what'], 'unknown flag --what'], [['--server', '--from', '/nowhere'], 'there is no SHA256SUMS in /nowhere'],
    ] as const) expect(await install(server, ...args)).toMatchObject({ exitCode: 1, stderr: expect.stringContaining(words) as string });
    expect(await installed(server, '--server', '--dry-run')).toContain('would write /usr/local/bin/cleat');
    expect(await files(server)).toBe(before);
    await server.sh('mkdir /run/dist && cp /mnt/dist/*.gz /mnt/dist/SHA256SUMS /run/dist/ && truncate -s -1 /run/dist/cleat-linux-*.gz');
    expect(await install(server, '--server', '--from=/run/dist')).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('is not what SHA256SUMS says') as string });
    await server.sh('rm -r /run/dist');
  });

  it('makes a cluster of two hosts that serves a page, as README.md says, in five commands', async () => {
    const before = await files(other);
    const { steps, pages } = await followReadme({ first: server, second: other, folder: '/mnt/dist' }, journal);
    expect(steps.length).toBeLessThanOrEqual(5);
    expect(pages).toEqual([expect.stringContaining('Hello from hello-'), expect.stringContaining('Hello from hello-')]);
    expect(before).not.toContain('/usr/local/bin/cleat');
  });

  it('changes nothing when it is run again', async () => {
    const pids = await server.sh('systemctl show -p MainPID cleat-controlplane cleat-agent');
    expect(await installed(server, '--server', '--no-packages')).not.toContain('wrote');
    expect(await server.sh('systemctl show -p MainPID cleat-controlplane cleat-agent')).toBe(pids);
  });

  it('leaves containers alone when the agent is restarted or killed, which systemd starts again', async () => {
    const containers = (): Promise<string> => other.sh("ps -eo pid,args | awk '/[c]ontainerd-shim/ {print $1}' | sort");
    const before = await containers();
    await other.execOk('systemctl', ['restart', 'cleat-agent']);
    await other.execOk('systemctl', ['kill', '-s', 'KILL', '--kill-who=main', 'cleat-agent']);
    await until('the agent to be back', async () => (await other.exec('systemctl', ['is-active', 'cleat-agent'])).stdout.trim() === 'active');
    expect(await containers()).toBe(before);
  });

  it('is back after a power cut, pods and all, without the control plane', async () => {
    await server.execOk('systemctl', ['stop', 'cleat-controlplane']);
    await other.crash();
    await other.boot();
    await booted(other);
    await until('pods to run again', async () => (await other.sh("ps -eo args | grep -c '[c]ontainerd-shim' || true")).trim() !== '0');
    await server.execOk('systemctl', ['start', 'cleat-controlplane']);
    await until('both nodes to be Ready', async () => (await cleat('get', 'nodes', '--no-headers')).match(/ Ready /g)?.length === 2);
  });

  const versions = async (): Promise<string> => (await cleat('get', 'nodes', '-o', 'jsonpath={range .items[*]}{.status.nodeInfo.kubeletVersion} {end}')).replaceAll(/v[\d.]+\+cleat\./g, '').trim();
  const bothReady = (what = 'both nodes to be Ready'): Promise<unknown> => until(what, async () => (await cleat('get', 'nodes', '--no-headers')).match(/ Ready /g)?.length === 2);
  const upgrade = (...args: string[]): Promise<string> => server.execOk('/usr/local/bin/cleat', ['upgrade', ...args], { timeoutMs: 240_000 });
  const shims = async (): Promise<string> => (await Promise.all(lab.hosts.map((host) => host.sh("ps -eo pid,args | awk '/[c]ontainerd-shim/ {print $1}' | sort")))).join('/');

  const makeSecret = (name: string, word: string): Promise<string> => server.sh(`printf 'apiVersion: v1\\nkind: Secret\\nmetadata: {name: ${name}}\\nstringData: {word: ${word}}\\n' | /usr/local/bin/cleat apply -f -`);
  const secret = (name: string): Promise<string> => cleat('get', 'secret', name, '-o', 'jsonpath={.data.word}');
  const through = (): Promise<unknown> => until('a command in a pod of each host', async () => {
    const pods = (await cleat('get', 'pods', '-l', 'app=hello', '-o', 'name')).trim().split('\n');
    return (await Promise.all(pods.map((pod) => cleat('exec', pod, '--', 'echo', 'through')))).every((said) => said === 'through\n');
  });

  it('goes back a version and forward again in waves, the two working together either way, and its containers do not notice', async () => {
    const before = await shims();
    await makeSecret('of-this', 'this');
    expect(await upgrade('--to', '/mnt/before', '--plan')).toMatch(new RegExp(`1 +${server.name} +\\w+ +${version} +${versionBefore}\n2 +${other.name} `));
    // What this version has written the one before reads, and its control plane works with an agent of this one.
    expect(await upgrade('--to', '/mnt/before', '--soak=0s', `--nodes=${server.name}`)).toContain(`1 host has ${versionBefore}`);
    expect(await server.sh('ls /var/lib/cleat/backups')).toMatch(new RegExp(`^before-${versionBefore}-.*\\.backup\n$`));
    await bothReady('an agent of this version with a control plane of the one before');
    expect(await versions()).toBe(`${versionBefore} ${version}`);
    await through();
    expect(await secret('of-this')).toBe('dGhpcw==');
    await makeSecret('of-before', 'before');
    expect(await upgrade('--to', '/mnt/before', '--soak=0s', '--no-backup')).toContain(`1 host has ${versionBefore}`);
    expect(await versions()).toBe(`${versionBefore} ${versionBefore}`);
    // Forward, as a fleet is upgraded: the control plane first, which works with an agent of the version before.
    expect(await upgrade('--to', '/mnt/dist', '--soak=0s', `--nodes=${server.name}`)).toContain(`1 host has ${version}`);
    await bothReady('an agent of the version before with a control plane of this one');
    expect(await versions()).toBe(`${version} ${versionBefore}`);
    await through();
    expect([await secret('of-this'), await secret('of-before')]).toEqual(['dGhpcw==', 'YmVmb3Jl']);
    expect(await shims()).toBe(before);
  });

  it('goes back to the version before when another does not come up', async () => {
    const fake = `#!/bin/sh\n[ "$1" = version ] && { echo 'Client Version: v9.1.0'; exit 0; }\nexit 1\n`;
    const folder = join(lab.directory, 'broken');
    await mkdir(folder);
    await writeFile(join(folder, `cleat-linux-${process.arch}.gz`), gzipSync(fake));
    await writeFile(join(folder, 'VERSION'), '9.1.0\n');
    await execOk('sh', ['-c', 'sha256sum * > SHA256SUMS'], { cwd: folder });
    const before = await shims();
    const failed = await server.exec('/usr/local/bin/cleat', ['upgrade', '--to', '/mnt/broken', '--no-backup', '--timeout=60s'], { timeoutMs: 150_000 });
    expect(failed).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/the upgrade stops here: .*went back to/i) as string });
    await bothReady();
    expect(await versions()).toBe(`${version} ${versionBefore}`);
    expect(await shims()).toBe(before);
    expect(await upgrade('--to', '/mnt/dist', '--soak=0s', '--no-backup')).toContain(`1 host has ${version}`);
  });

  it('restricts the control plane to what it needs', async () => {
    const said = await server.exec('systemd-analyze', ['security', '--no-pager', 'cleat-controlplane.service']);
    const [, exposure = '10'] = /Overall exposure level for cleat-controlplane.service: ([\d.]+)/.exec(said.stdout) ?? [];
    expect(Number(exposure)).toBeLessThan(2.5);
  });

  // Not the one that it removes in the end.
  const executable = `/mnt/dist/cleat-linux-${process.arch}`;
  const is = async (host: LabHost, test: string): Promise<boolean> => (await host.exec('sh', ['-c', test])).exitCode === 0;
  /** Takes Cleat off a host, each time killed when it has come as far as that, or has ended before. */
  async function uninstallKilled(host: LabHost, args: readonly string[], reached: readonly string[]): Promise<void> {
    for (const test of reached) {
      const killed = host.spawn('uninstall', executable, ['uninstall', ...args]);
      await until(test, async () => killed.output().includes('Cleat is removed') || await is(host, test), 120_000);
      await killed.kill('SIGKILL');
    }
  }
  const countShims = "$(ps -eo stat,args | grep -v ^Z | grep -c '[c]ontainerd-shim')";
  const aPodGone = async (host: LabHost): Promise<string> => `[ ${countShims} -lt ${(await host.sh(`echo "${countShims}"`)).trim()} ]`;

  it('goes without a trace, also when that is killed on the way, the agent before it, and the ledger is half-written', async () => {
    expect(await other.sh('cleat uninstall --dry-run')).toContain('would stop and disable cleat-agent');
    await other.execOk('systemctl', ['kill', '-s', 'KILL', '--kill-who=main', 'cleat-agent']);
    await other.sh(`printf '{"atMs":8,"kind":"sys' >>/var/lib/cleat/ledger.jsonl`);
    await uninstallKilled(other, [], [await aPodGone(other), '! nft list table ip cleat', '[ ! -e /var/lib/cleat/ledger.jsonl ]', '[ ! -e /etc/cleat/agent.yaml ]']);
    expect(await other.execOk(executable, ['uninstall'], { timeoutMs: 120_000 })).toContain('Cleat is removed from this host');
    expect(await inventory(other)).toEqual(pristine.get(other));
  });

  it('keeps the data and nothing else when it is asked to, killed on the way or not', async () => {
    const data = (): Promise<string> => server.sh('find /etc/cleat /var/lib/cleat/server/pki /var/lib/cleat/agent/pki -type f -exec sha256sum {} + | sort; ls -d /var/lib/cleat/server/store');
    const before = await data();
    await uninstallKilled(server, ['--keep-data'], [await aPodGone(server), '! nft list table ip cleat', '[ ! -e /etc/systemd/system/cleat-agent.service ]']);
    expect(await installed(server, '--uninstall', '--keep-data')).toContain('are kept');
    expect(await data()).toBe(before);
    const isKept = /^(?:. \/etc|\/var\/lib)\/cleat\b|^. \/var\/log\/(?:pods|containers)\b/;
    const left = await inventory(server);
    expect(left.filter((line) => !isKept.test(line))).toEqual(pristine.get(server)?.filter((line) => !isKept.test(line)));
    expect(left.join('\n')).toMatch(/^f \/var\/log\/pods\/.*\/0\.log$/m);
  });

  it('comes as a package, too, which starts nothing by itself and goes without a trace', async () => {
    const made = await makeDeb({ root, out: join(lab.directory, 'dist'), arch: process.arch, version });
    await other.execOk('dpkg', ['-i', join('/mnt/dist', 'file' in made ? made.file : '')], { timeoutMs: 120_000 });
    expect(await other.execOk('/usr/bin/cleat', ['version', '--client'])).toBe(`Client Version: v${version}\n`);
    expect((await other.exec('systemctl', ['is-enabled', 'cleat-agent', 'cleat-controlplane'])).stdout).toBe('disabled\ndisabled\n');
    expect(await other.exec('/usr/bin/cleat', ['uninstall'])).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('apt-get purge cleat') as string });
    await other.sh('mkdir -p /etc/cleat && printf "log-level: warn\nadvertise-address: %s\n" "$1" > /etc/cleat/controlplane.yaml'.replace('"$1"', other.address));
    await other.execOk('systemctl', ['enable', '--now', 'cleat-controlplane'], { timeoutMs: 120_000 });
    expect(await other.execOk('/usr/bin/cleat', ['get', 'namespaces', '-o', 'name'])).toContain('namespace/default');
    await other.execOk('dpkg', ['-P', 'cleat'], { timeoutMs: 120_000 });
    // The state directory is a disk of its own in the lab.
    expect(await other.sh('ls -d /etc/cleat /usr/bin/cleat /lib/systemd/system/cleat* 2>/dev/null || true; ls -A /var/lib/cleat')).toBe('');
  });
});
