import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

let dir: string;
const started: ChildProcess[] = [];

/** A checkout with nothing but the script, on a host whose programs are those below and the system's. */
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'cleat-packages-'));
  for (const folder of ['bin', 'install']) mkdirSync(join(dir, folder));
  copyFileSync(join(import.meta.dirname, 'packages.sh'), join(dir, 'install/packages.sh'));
  writeFileSync(join(dir, 'package-lock.json'), '{}');
  program('id', 'echo 0');
  program('systemctl', 'exit 0');
  for (const name of ['containerd', 'runc', 'nft', 'iptables', 'ip', 'conntrack', 'apt-get', 'dpkg']) program(name, `echo "${name} $*" >>calls`);
});
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
  rmSync(dir, { recursive: true, force: true });
});

const program = (name: string, script: string): void => { writeFileSync(join(dir, 'bin', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 }); };
const installsNode = 'mkdir -p node_modules/node/bin; cp /bin/true node_modules/node/bin/node';
const calls = (): string[] => (existsSync(join(dir, 'calls')) ? readFileSync(join(dir, 'calls'), 'utf8').trim().split('\n') : []);
const npmCalls = (): number => calls().filter((line) => line.startsWith('npm')).length;

function run(...args: string[]): { readonly child: ChildProcess; readonly ended: Promise<{ code: number | null; output: string }> } {
  const child = spawn('sh', ['install/packages.sh', ...args], { cwd: dir, env: { PATH: `${join(dir, 'bin')}:${process.env['PATH'] ?? ''}` }, stdio: ['ignore', 'pipe', 'pipe'] });
  started.push(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => { output += text; });
  return { child, ended: once(child, 'close').then(([code]) => ({ code: code as number | null, output })) };
}

describe('install/packages.sh', () => {
  it('installs once, then runs the command in its place', async () => {
    program('npm', `echo "npm $*" >>calls; ${installsNode}`);
    expect(await run('--', 'echo', 'one two').ended).toMatchObject({ code: 0, output: expect.stringMatching(/^cleat: installing npm packages[^]*one two\n$/) as string });
    expect((await run('--', 'echo', 'again').ended).output).not.toContain('npm');
    expect(npmCalls()).toBe(1);
  });

  it.each([['SIGTERM', 143], ['SIGINT', 130]] as const)('ends npm and all that it runs on %s, and goes on when it is run again', async (signal, code) => {
    program('npm', `echo "npm $*" >>calls; mkdir -p node_modules/typescript; sleep 600 & echo $! >grandchild; ${installsNode}; wait`);
    const first = run();
    await vi.waitFor(() => { expect(readFileSync(join(dir, 'grandchild'), 'utf8')).toMatch(/\d/); }, { timeout: 20_000 });
    first.child.kill(signal);
    expect(await first.ended).toMatchObject({ code, output: expect.stringContaining('interrupted; run this again') as string });
    const pid = readFileSync(join(dir, 'grandchild'), 'utf8').trim();
    await vi.waitFor(() => { expect(existsSync(`/proc/${pid}/cwd`)).toBe(false); }, { timeout: 20_000 });
    program('npm', `echo "npm $*" >>calls; ${installsNode}`);
    expect((await run('--', 'echo', 'fine').ended).output).toMatch(/fine\n$/);
    expect(npmCalls()).toBe(2);
  });

  it('with --npm brings what the build needs, and asks for no root', async () => {
    program('id', 'echo 1000');
    expect(await run('--', 'echo', 'never').ended).toMatchObject({ code: 1, output: expect.stringContaining('this needs root') as string });
    program('npm', `echo "npm $*" >>calls; mkdir -p node_modules/typescript; ${installsNode}`);
    expect(await run('--npm', '--', 'echo', 'built').ended).toMatchObject({ code: 0, output: expect.stringMatching(/built\n$/) as string });
    expect(calls()).toEqual([expect.not.stringContaining('--omit=dev')]);
    expect((await run('--npm').ended).code).toBe(0);
  });

  it('waits for another one, and has nothing left to do', async () => {
    program('npm', `echo "npm $*" >>calls; while [ ! -e go ]; do sleep 0.05; done; ${installsNode}`);
    const first = run();
    await vi.waitFor(() => { expect(npmCalls()).toBe(1); }, { timeout: 20_000 });
    const second = run('--', 'echo', 'second');
    let waits = false;
    second.child.stderr?.once('data', (text) => { waits = String(text).includes('waiting for another installation'); });
    await vi.waitFor(() => { expect(waits).toBe(true); }, { timeout: 20_000 });
    writeFileSync(join(dir, 'go'), '');
    expect((await first.ended).code).toBe(0);
    expect(await second.ended).toMatchObject({ code: 0, output: expect.stringMatching(/second\n$/) as string });
    expect(npmCalls()).toBe(1);
  });

  it('mends packages that were left half configured', async () => {
    program('npm', installsNode);
    program('apt-get', 'echo "apt-get $1" >>calls; [ -e configured ] || [ "$1" = update ]');
    program('dpkg', 'echo "dpkg $*" >>calls; : >configured');
    expect((await run('no-such-program:a-package').ended).code).toBe(0);
    expect(calls()).toEqual(['apt-get install', 'dpkg --configure -a', 'apt-get update', 'apt-get install']);
  });
});
