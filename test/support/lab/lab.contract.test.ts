import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exec } from '#common/exec.ts';
import { startContainerd } from './containerd.ts';
import { eventually } from './eventually.ts';
import { createLab, type Lab } from './lab.ts';

describe('lab', () => {
  let lab: Lab;
  beforeAll(async () => { lab = await createLab({ hosts: 2, uplink: true }); });
  afterAll(async () => { await lab.destroy(); });

  const ping = async (from: number, to: number): Promise<boolean> => {
    const { exitCode } = await lab.host(from).exec('busybox', ['ping', '-c1', '-W1', lab.host(to).address]);
    return exitCode === 0;
  };

  it('gives each host its own names, processes and files', async () => {
    const [a, b] = [lab.host(0), lab.host(1)];
    await a.sh('echo a > /etc/lab-test; mkdir /var/lib/lab-test; echo a > /run/lab-test');
    expect((await b.exec('ls', ['/etc/lab-test', '/var/lib/lab-test', '/run/lab-test'])).stdout).toBe('');
    expect(existsSync('/etc/lab-test')).toBe(false);
    expect(await a.execOk('hostname', [])).toBe('host0\n');
    expect(await a.sh('cat /etc/machine-id')).not.toBe(await b.sh('cat /etc/machine-id'));
    expect(Number(await a.sh('ls -d /proc/[0-9]* | wc -l'))).toBeLessThan(10);
    writeFileSync(join(a.stateDirectory, 'x'), 'kept');
    expect(await a.sh('cat /var/lib/cleat/x')).toBe('kept');
  });

  it('limits the memory of what runs in a host', async () => {
    const bytes = (await lab.host(0).sh('cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max || echo 0')).trim();
    expect(['2147483648', '0']).toContain(bytes);
    const paths = await lab.host(0).sh('cat /proc/self/cgroup');
    expect(paths).not.toContain('..');
  });

  it('carries packets between hosts and from the machine, and refuses at once what is outside', async () => {
    expect(await ping(0, 1)).toBe(true);
    expect((await exec('busybox', ['ping', '-c1', '-W1', lab.host(1).address])).exitCode).toBe(0);
    const outside = await lab.host(0).exec('busybox', ['wget', '-qO-', 'http://198.51.100.1/'], { timeoutMs: 3000 });
    expect(outside.stderr).toMatch(/unreachable/i);
  });

  it('pulls the cable and puts it back', async () => {
    await lab.host(1).disconnect();
    expect(await ping(0, 1)).toBe(false);
    await lab.host(1).reconnect();
    await eventually(() => ping(0, 1), { what: 'the link to come back' });
  });

  it('runs, logs, signals and reports processes', async () => {
    const p = lab.host(0).spawn('loop', 'sh', ['-c', 'trap "echo bye; exit 3" TERM; echo hello; while :; do sleep 0.05; done']);
    await p.waitForOutput('hello');
    expect(p.running).toBe(true);
    expect(readFileSync(`/proc/${String(await p.pid())}/cmdline`, 'utf8')).toContain('trap');
    expect(await p.kill('SIGTERM')).toEqual({ code: 3, signal: null });
    expect(p.output()).toBe('hello\nbye\n');
  });

  it('loses everything but the disk in a crash', async () => {
    const host = lab.host(1);
    const p = host.spawn('server', 'sleep', ['1000']);
    await p.pid();
    await host.sh('ip link add br9 type bridge; nft add table ip x; echo kept > /etc/kept; echo lost > /run/lost; setsid sleep 999 >/dev/null 2>&1 &');
    await host.crash();
    expect(p.running).toBe(false);
    await expect(host.exec('true', [])).rejects.toThrow('is down');
    await host.boot();
    expect(await host.sh('cat /etc/kept; ls /run; nft list tables; ip -o link; ps ax')).not.toMatch(/lost|table ip|br9|sleep 9/);
    await expect.poll(() => ping(0, 1)).toBe(true);
  });

  it('starts a bare containerd that answers', async () => {
    const { socket } = await startContainerd(lab.host(0));
    expect(await lab.host(0).execOk('ctr', ['-a', socket, 'namespaces', 'ls'])).toContain('NAME');
  });

  it('keeps two labs apart', async () => {
    const other = await createLab({ hosts: 1 });
    try {
      const { exitCode } = await other.host(0).exec('busybox', ['ping', '-c1', '-W1', lab.host(0).address]);
      expect(exitCode).not.toBe(0);
    } finally {
      await other.destroy();
    }
    expect(existsSync(other.directory)).toBe(false);
  });

  it('sweeps what a killed process left', async () => {
    const script = `import { createLab } from ${JSON.stringify(join(import.meta.dirname, 'lab.ts'))};
      const lab = await createLab({ hosts: 1 }); lab.host(0).spawn('x', 'sleep', ['1000']); console.log(lab.directory); setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const directory = await new Promise<string>((resolve) => { child.stdout.once('data', (d: Buffer) => { resolve(d.toString().trim()); }); });
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await exited;
    expect(existsSync(directory)).toBe(true);
    const next = await createLab({ hosts: 0 });
    await next.destroy();
    expect(existsSync(directory)).toBe(false);
    const cgroups = readdirSync('/sys/fs/cgroup', 'utf8').map((c) => join('/sys/fs/cgroup', c, `cleat-lab-${basename(directory)}`));
    expect(cgroups.filter((c) => existsSync(c))).toEqual([]);
  });
});
