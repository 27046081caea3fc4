import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { execOk } from '#common/exec.ts';
import { version } from '#common/version.ts';
import { eventually } from '../support/lab/eventually.ts';
import type { LabHost } from '../support/lab/host.ts';
import { createLab, type Lab } from '../support/lab/lab.ts';

const root = join(import.meta.dirname, '../..');

const sumOf = async (path: string): Promise<string> => (await execOk('sha256sum', [path])).slice(0, 64);

/** What `npm run build` makes, on a host that has neither the sources nor Node's packages. */
describe('the single executable', () => {
  let lab: Lab;
  let host: LabHost;
  let cleat = '';
  const run = (...args: string[]): Promise<string> => host.execOk(cleat, args, { timeoutMs: 60_000 });

  beforeAll(async () => {
    lab = await createLab({ hosts: 1 });
    host = lab.host(0);
    await execOk(process.execPath, [join(root, 'install/build/build.ts'), '--out', lab.directory], { timeoutMs: 300_000 });
    cleat = join(lab.directory, `cleat-linux-${process.arch}`);
    for (const folder of ['node_modules', 'api', 'agent', 'controlplane', 'cli']) await host.execOk('mount', ['-t', 'tmpfs', 'nothing', join(root, folder)]);
  }, 330_000);
  afterAll(async () => { await lab?.destroy(); });

  it('is small, and comes with checksums and a list of what is in it', async () => {
    expect(statSync(`${cleat}.gz`).size).toBeLessThan(45_000_000);
    await execOk('sha256sum', ['--check', '--strict', 'SHA256SUMS'], { cwd: lab.directory });
    const { components } = JSON.parse(readFileSync(join(lab.directory, 'cleat.cdx.json'), 'utf8')) as { components: { name: string; version?: string; hashes?: object[] }[] };
    expect(components.find(({ name }) => name === 'node')?.version).toBe(process.versions.node);
    expect(components.find(({ name }) => name === '@grpc/grpc-js')?.hashes).toHaveLength(1);
    expect(components.map(({ name }) => name)).not.toContain('vitest');
  });

  it('is the same when it is made again, and starts on ARM', async () => {
    const make = (...args: string[]): Promise<string> => execOk(process.execPath, [join(root, 'install/build/build.ts'), '--compression', '1', ...args], { timeoutMs: 300_000 });
    await make('--out', join(lab.directory, 'again'));
    expect(await sumOf(join(lab.directory, 'again', `cleat-linux-${process.arch}`))).toBe(await sumOf(cleat));
    await make('--out', join(lab.directory, 'arm64'), '--arch', 'arm64');
    expect(await execOk('qemu-aarch64-static', ['-L', '/usr/aarch64-linux-gnu', join(lab.directory, 'arm64/cleat-linux-arm64'), 'version', '--client'], { timeoutMs: 120_000 })).toBe(`Client Version: v${version}\n`);
  });

  it('comes as a package', async () => {
    const [file = ''] = readdirSync(lab.directory).filter((name) => /^cleat_.*\.deb$/.test(name));
    expect(file).toBe(`cleat_${version}_${process.arch === 'x64' ? 'amd64' : process.arch}.deb`);
    expect(statSync(join(lab.directory, file)).size).toBeLessThan(45_000_000);
    const [about, held] = await Promise.all(['--info', '--contents'].map((verb) => execOk('dpkg-deb', [verb, join(lab.directory, file)])));
    expect(about).toMatch(/postinst[^]*postrm[^]*prerm[^]*Depends: iproute2/);
    expect(held?.match(/\.\/(usr\/bin\/cleat|lib\/systemd\/system\/cleat-\w+\.service)$/gm)).toHaveLength(3);
    await execOk('dpkg-deb', ['-x', join(lab.directory, file), join(lab.directory, 'unpacked')]);
    expect(await sumOf(join(lab.directory, 'unpacked/usr/bin/cleat'))).toBe(await sumOf(cleat));
    expect(readFileSync(join(lab.directory, 'unpacked/lib/systemd/system/cleat-agent.service'), 'utf8')).toContain('ExecStart=/usr/bin/cleat agent');
  });

  it('runs a cluster, and commands against it', async () => {
    const unpacked = async (): Promise<string[]> => (await host.sh('ls -A /var/cache/cleat 2>/dev/null || true')).split('\n').filter(Boolean);
    const before = await unpacked();
    expect(await run('version', '--client')).toBe(`Client Version: v${version}\n`);
    const up = host.spawn('up', cleat, ['up', '--apply', join(root, 'examples/hello.yaml')]);
    await up.waitForOutput('Ctrl-C stops Cleat', 90_000);
    expect(await run('get', 'deployment', 'hello', '-o', 'jsonpath={.status.readyReplicas}')).toBe('3');
    expect(await run('exec', 'deployment/hello', '--', 'echo', 'from inside')).toBe('from inside\n');
    const forward = host.spawn('forward', cleat, ['port-forward', 'deployment/hello', '18080:8080']);
    await forward.waitForOutput('Forwarding from');
    await eventually(async () => (await host.exec('busybox', ['timeout', '5', 'busybox', 'wget', '-qO-', 'http://127.0.0.1:18080/'])).stdout.includes('Hello'), { what: 'the pod to answer through the tunnel', explain: () => forward.output() });
    expect(await unpacked()).toHaveLength(before.length + 1);
    const backup = join(lab.directory, 'cluster.backup');
    await run('backup', backup);
    process.kill(await up.pid(), 'SIGINT');
    expect((await up.exited).code).toBe(0);
    // What another architecture's executable makes of it, this one serves: nothing in it is of a machine.
    const arm64 = ['-L', '/usr/aarch64-linux-gnu', join(lab.directory, 'arm64/cleat-linux-arm64')];
    expect(await host.execOk('qemu-aarch64-static', [...arm64, 'restore', backup, '--force'], { timeoutMs: 240_000 })).toMatch(/Restored the cluster of .*: \d+ objects\n/);
    const again = host.spawn('restored', cleat, ['up']);
    await again.waitForOutput('Ctrl-C stops Cleat', 90_000);
    expect(await run('get', 'deployment', 'hello', '-o', 'jsonpath={.spec.replicas}')).toBe('3');
    process.kill(await again.pid(), 'SIGINT');
    expect((await again.exited).code).toBe(0);
    // Ended while some of it still starts: that is an end like any other.
    for (const words of ['Starting Cleat', 'Cleat is up', 'Ctrl-C stops Cleat']) {
      const brief = host.spawn(`brief-${words}`, cleat, ['up']);
      await brief.waitForOutput(words, 90_000);
      process.kill(await brief.pid(), 'SIGINT');
      expect((await brief.exited).code, brief.output()).toBe(0);
    }
    expect(await run('down', '--purge')).toContain('removed');
  });
});
