import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exec, execOk, type ExecResult } from '#common/exec.ts';

/**
 * install.sh on hosts that are not the one at hand: a root folder with busybox, another shell, and the programs that a test puts
 * there, entered by chroot. The executable is a script here; test/e2e/install.test.ts installs the real one under systemd.
 */
const files = { cleat: `#!/bin/sh\ncase $1 in\n  version) echo 'Client Version: v1.0.0' ;;\n  token) echo the-token ;;\n  *) echo "cleat $*" >>/calls ;;\nesac\nexit 0\n`, 'cleat-agent.service': '[Service]\n', 'cleat-controlplane.service': '[Service]\n#\n' };
const runtime = ['containerd', 'runc', 'nft', 'ip', 'conntrack'];
const token = `abcdef.0123456789abcdef.${'0'.repeat(64)}`;
const at = ['--join', 'https://10.0.0.1:6443'];
const join_ = [...at, '--token', token];
let root = '';

const write = (path: string, content: string, mode = 0o644): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content, { mode });
};
const program = (name: string, script: string): void => { write(`fake/${name}`, `#!/bin/dash\n${script}\n`, 0o755); };
/** A program of this machine with what its loader loads. */
const bring = async (path: string, to: string): Promise<void> => {
  const { stdout } = await exec('ldd', [path]);
  for (const [source, target] of [[path, to], ...[...stdout.matchAll(/\s(\/\S+) \(0x/g)].map(([, library = '']) => [library, library.slice(1)])] as [string, string][]) {
    mkdirSync(dirname(join(root, target)), { recursive: true });
    copyFileSync(source, join(root, target));
  }
};
const release = (executable = files.cleat): void => {
  const made = { ...files, [`cleat-linux-${process.arch}.gz`]: gzipSync(executable, { level: 1 }) };
  for (const [name, content] of Object.entries(made)) if (name !== 'cleat') writeFileSync(join(root, 'dist', name), content);
  writeFileSync(join(root, 'dist/SHA256SUMS'), Object.entries(made).map(([name, content]) => `${createHash('sha256').update(content).digest('hex')}  ${name}\n`).join(''));
};
const systemctl = 'echo "systemctl $*" >>/calls; [ "$1" != show ] || echo "StatusText=node x, connected to y"';
const systemd = (): void => {
  mkdirSync(join(root, 'run/systemd/system'), { recursive: true });
  program('systemctl', systemctl);
};
/** A package manager that brings all that a host may lack. */
const manager = (name: string): void => { program(name, `echo "${name} $*" >>/calls\nfor p in ${[...runtime, 'busybox'].join(' ')}; do cp /bin/true /fake/$p; done\nmkdir -p /opt/cni/bin; cp /bin/true /opt/cni/bin/ptp; cp /bin/true /opt/cni/bin/host-local`); };
const hasRuntime = (): void => {
  for (const name of runtime) program(name, 'exit 0');
  for (const name of ['ptp', 'host-local']) write(`opt/cni/bin/${name}`, '', 0o755);
};

/** `before` prepares the mounts of the host, which end with the command. */
const install = (args: readonly string[], { shell = 'dash', before = 'true', path = '/fake:/bin' } = {}): Promise<ExecResult> =>
  exec('unshare', ['-m', 'sh', '-ec', `${before}; cd "$0"; exec chroot . /bin/busybox env -i PATH=${path} /bin/${shell} /dist/install.sh "$@"`, root, ...args], { timeoutMs: 30_000 });
const calls = (): string[] => (existsSync(join(root, 'calls')) ? readFileSync(join(root, 'calls'), 'utf8').trim().split('\n') : []);
/** Everything of the host but what the test made: paths with mode and content. */
const tree = (folder = ''): string[] => readdirSync(join(root, folder)).filter((name) => !(folder === '' && ['bin', 'fake', 'dev', 'dist', 'lib', 'lib64', 'run', 'calls', 'count'].includes(name))).flatMap((name) => {
  const path = join(folder, name);
  const info = lstatSync(join(root, path));
  if (info.isDirectory()) return [`${path}/`, ...tree(path)];
  return [`${path} ${(info.mode & 0o777).toString(8)} ${info.isSymbolicLink() ? readlinkSync(join(root, path)) : createHash('sha256').update(readFileSync(join(root, path))).digest('hex')}`];
});

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'cleat-install-'));
  for (const folder of ['bin', 'dev', 'dist', 'etc', 'fake', 'run', 'var/tmp', 'var/lib', 'usr/local/bin']) mkdirSync(join(root, folder), { recursive: true });
  await bring('/bin/busybox', 'bin/busybox');
  await bring('/bin/dash', 'bin/dash');
  // Its own ip and systemd-less programs are what a bare host would lack.
  for (const applet of (await execOk('/bin/busybox', ['--list'])).split('\n')) if (applet !== '' && !existsSync(join(root, 'bin', applet)) && !['ip', 'dpkg', 'rpm', 'wget'].includes(applet)) symlinkSync('busybox', join(root, 'bin', applet));
  await execOk('mknod', ['-m', '666', join(root, 'dev/null'), 'c', '1', '3']);
  copyFileSync(join(import.meta.dirname, '../../install/install.sh'), join(root, 'dist/install.sh'));
  release();
});
afterEach(() => { rmSync(root, { recursive: true, force: true }); });

describe('install.sh', () => {
  it.each([
    ['apt-get', 'containerd runc nftables iproute2 conntrack containernetworking-plugins', 'apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300'],
    ['dnf', 'containerd runc nftables iproute conntrack-tools containernetworking-plugins', 'dnf install -y -q'],
    ['apk', 'containerd runc nftables iproute2 conntrack-tools cni-plugins', 'apk add -q'],
  ])('brings what is missing with %s, says before what it would do, and does nothing the second time', async (name, packages, line) => {
    manager(name);
    systemd();
    const before = tree();
    const planned = await install(['--server', '--dry-run']);
    expect(planned, planned.stderr).toMatchObject({ exitCode: 0 });
    for (const said of [`would install with ${name}: ${packages}`, ...['/usr/local/bin/cleat', '/etc/systemd/system/cleat-agent.service', '/etc/cleat/controlplane.yaml', '/etc/cleat/agent.yaml'].map((file) => `would write ${file}`), 'would run: systemctl enable --quiet cleat-controlplane', 'would run: systemctl restart --no-block cleat-agent']) expect(planned.stdout).toContain(said);
    expect(tree()).toEqual(before);
    expect(await install(['--server'])).toMatchObject({ exitCode: 0 });
    expect(calls().slice(0, 1)).toEqual([`${line} ${packages}`]);
    expect(calls()).toContain('systemctl restart --no-block cleat-agent');
    expect(readFileSync(join(root, 'etc/cleat/agent.yaml'), 'utf8')).toBe('log-level: warn\nserver: https://127.0.0.1:6443\ntoken: the-token\n');
    const [after, said] = [tree(), calls().length];
    mkdirSync(join(root, 'var/lib/cleat/agent/pki'), { recursive: true });
    expect((await install(['--server'])).stdout).not.toContain('wrote');
    expect(tree().filter((path) => !path.startsWith('var/lib/cleat'))).toEqual(after);
    expect(calls().slice(said).filter((call) => /restart|install|add|daemon-reload/.test(call))).toEqual([]);
  });

  it('goes without bash, flock and systemd, and says what is left to do', async () => {
    manager('apk');
    const said = await install(join_, { shell: 'sh' });
    expect(said, said.stderr).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("Have its init run: /usr/local/bin/cleat agent --config /etc/cleat/agent.yaml") as string });
    expect(readFileSync(join(root, 'etc/cleat/agent.yaml'), 'utf8')).toBe(`server: https://10.0.0.1:6443\ntoken: ${token}\n`);
    expect(await install(['--uninstall'], { shell: 'sh' })).toMatchObject({ exitCode: 0 });
    expect(tree().filter((path) => path.includes('cleat'))).toEqual([]);
  });

  it('says what could not be brought, and goes on when it can; without a manager that it knows it names all', async () => {
    expect(await install(join_)).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/missing: containerd runc .*Install them with this host's package manager, then run this again with --no-packages/) as string });
    program('dnf', 'echo no mirror answers; exit 1');
    expect(await install(join_)).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/no mirror answers\ncleat: dnf could not install: containerd runc .*Mend what it says above, then run this again/) as string });
    manager('dnf');
    expect(await install(join_)).toMatchObject({ exitCode: 0 });
  });

  it('does not wait for an agent that ends again and again, says why it does, and goes on with another token', async () => {
    hasRuntime();
    systemd();
    const before = tree();
    for (const [words, said] of [[at, /has not joined yet, so it needs a token: copy all of the line/], [[...at, '--token', token.slice(0, -1)], /the token is not whole: copy all of the line/]] as const) expect(await install(words)).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(said) as string });
    expect(tree()).toEqual(before);
    // Counts anew when it is started anew.
    program('systemctl', `case "$*" in is-active*) exit 3 ;; 'show -p NRestarts'*) n=$(( $(cat /count 2>/dev/null || echo 7) + 1 )); [ $n != 9 ] || n=0; echo $n | tee /count ;; *) ${systemctl} ;; esac`);
    program('journalctl', 'echo "the join token is refused"');
    expect(await install(join_)).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/^the join token is refused\ncleat: cleat-agent does not come up; its last words are above\. Mend what they say, then run this again, with a new token where that was refused/) as string });
    expect(readFileSync(join(root, 'count'), 'utf8')).toBe('3\n');
    systemd();
    expect(await install([...at, '--token', token.replace('abc', 'new')])).toMatchObject({ exitCode: 0 });
    expect(readFileSync(join(root, 'etc/cleat/agent.yaml'), 'utf8')).toBe(`log-level: warn\nserver: https://10.0.0.1:6443\ntoken: ${token.replace('abc', 'new')}\n`);
    expect(calls()).toContain('systemctl restart --no-block cleat-agent');
  });

  it('says what an agent that takes long to come up waits for', async () => {
    hasRuntime();
    systemd();
    program('sleep', 'exit 0');
    program('systemctl', `case "$*" in is-active*agent) n=$(( $(cat /count 2>/dev/null || echo 0) + 1 )); echo $n >/count; [ $n -gt 70 ] || exit 3 ;; *) ${systemctl} ;; esac`);
    program('journalctl', 'echo "joining has to wait: 10.0.0.1 does not answer"');
    const { exitCode, stdout, stderr } = await install(join_);
    expect([exitCode, `${stdout}${stderr}`.match(/still waiting for .*/g)]).toEqual([0, ['still waiting for cleat-agent. Its last words: joining has to wait: 10.0.0.1 does not answer']]);
  });

  it.each([
    ['armv7l', '6.1.0', /32-bit system \(armv7l\).*Raspberry Pi OS \(64-bit\)/], ['armv6l', '6.1.0', /32-bit system \(armv6l\).*Older boards cannot/], ['riscv64', '6.1.0', /no executable for riscv64/],
    ['x86_64', '4.9.0-13-amd64', /kernel is 4\.9\.0-13-amd64, and Cleat needs 4\.18 or newer/], ['aarch64', '3.10', /needs 4\.18/],
  ])('changes nothing on %s with Linux %s', async (machine, kernel, words) => {
    program('uname', `case $1 in -m) echo ${machine} ;; -r) echo ${kernel} ;; *) echo Linux ;; esac`);
    const before = tree();
    expect(await install(['--server'])).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(words) as string });
    expect(tree()).toEqual(before);
  });

  it('changes nothing where the executable does not run, or is another one, or cannot be had', async () => {
    hasRuntime();
    const before = tree();
    release('#!/bin/sh\necho "GLIBC_2.28 not found" >&2; exit 1\n');
    expect(await install(join_)).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/GLIBC_2.28 not found\ncleat: the executable does not run on this host.*Nothing was changed/) as string });
    program('ldd', 'echo "musl libc (x86_64)" >&2; exit 1');
    expect(await install(join_)).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('made for glibc, and this host has musl') as string });
    release();
    writeFileSync(join(root, 'dist', `cleat-linux-${process.arch}.gz`), gzipSync('another'));
    expect(await install(join_)).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('is not what SHA256SUMS says') as string });
    expect(await install([...join_, '--from', 'https://example.com/x'])).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('neither curl nor wget is here') as string });
    program('curl', 'exit 7');
    expect(await install([...join_, '--from', 'https://example.com/x'])).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('SHA256SUMS could not be fetched; check the address') as string });
    expect(tree()).toEqual(before);
    program('curl', 'shift 4; cp /dist/${2##*/} $1');
    release();
    expect(await install([...join_, '--from', 'https://example.com/x'])).toMatchObject({ exitCode: 0 });
    expect(existsSync(join(root, 'usr/local/bin/cleat'))).toBe(true);
  });

  it.each([['full', 'size=16k'], ['read-only', 'ro']])('says what to do when the disk for programs is %s, and goes on from there', async (_, option) => {
    hasRuntime();
    release(`${files.cleat}# ${'x'.repeat(100_000)}\n`);
    const before = tree();
    expect(await install(join_, { before: `mount -t tmpfs -o ${option} tmpfs "$0/usr/local/bin"` })).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/\/usr\/local\/bin\/cleat could not be written.*make room.*read-only.*run this again/) as string });
    expect(tree()).toEqual(before);
    expect(await install(join_, { before: `mount -t tmpfs -o ${option} tmpfs "$0/var/tmp"` })).toMatchObject({ exitCode: option === 'ro' ? 1 : 0 });
    expect(await install(join_)).toMatchObject({ exitCode: 0 });
    expect(readFileSync(join(root, 'usr/local/bin/cleat'), 'utf8')).toContain('xxx');
  });

  it('waits for another that is at work', async () => {
    hasRuntime();
    systemd();
    await bring('/usr/bin/flock', 'bin/flock');
    program('systemctl', `sleep 0.05; ${systemctl}`);
    const both = await Promise.all([install(join_), install(join_)]);
    expect(both.map(({ exitCode }) => exitCode)).toEqual([0, 0]);
    expect(both.filter(({ stdout }) => stdout.includes('waiting for another installation to end'))).toHaveLength(1);
    expect(both.filter(({ stdout }) => stdout.includes('wrote /usr/local/bin/cleat'))).toHaveLength(1);
  });

  it('killed at any step leaves each file whole, and run again ends as if nothing had been', async () => {
    hasRuntime();
    systemd();
    expect(await install(['--server'])).toMatchObject({ exitCode: 0 });
    const whole = tree();
    const asked = new Set(calls());
    const killed = ['gzip', 'chmod', 'mv', 'systemctl'];
    const restart = (): void => { for (const path of ['usr/local/bin', 'etc', 'var/tmp', 'calls', 'count']) rmSync(join(root, path), { recursive: true, force: true }); for (const path of ['usr/local/bin', 'etc', 'var/tmp']) mkdirSync(join(root, path), { recursive: true }); };
    for (let step = 1; ; step++) {
      restart();
      for (const name of killed) program(name, `n=$(( $(cat /count 2>/dev/null || echo 0) + 1 )); echo $n >/count; [ $n != ${String(step)} ] || { kill -9 $PPID; exit 1; }\n${name === 'systemctl' ? systemctl : `exec /bin/busybox ${name} "$@"`}`);
      const ended = await install(['--server']).then(({ exitCode }) => exitCode === 0, () => false);
      const cut = tree().filter((path) => !path.startsWith('var/tmp') && !path.includes('.new ') && !path.endsWith('/'));
      expect(whole, `killed at step ${String(step)}`).toEqual(expect.arrayContaining(cut));
      for (const name of killed) rmSync(join(root, 'fake', name));
      systemd();
      expect((await install(['--server'])).exitCode).toBe(0);
      expect(tree().filter((path) => !path.startsWith('var/tmp')), `killed at step ${String(step)}`).toEqual(whole.filter((path) => !path.startsWith('var/tmp')));
      expect([...asked].filter((call) => !calls().includes(call)), `killed at step ${String(step)}`).toEqual([]);
      if (ended) break;
    }
    expect(await install(['--uninstall'])).toMatchObject({ exitCode: 0 });
    expect(tree().filter((path) => path.includes('cleat'))).toEqual([]);
  });
});
