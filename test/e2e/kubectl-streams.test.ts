import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster } from '../support/cluster.ts';
import { Kubectl, kubectlVersions } from '../support/kubectl.ts';
import { eventually } from '../support/lab/eventually.ts';

/**
 * Commands, terminals, files and ports of pods, with stock kubectl of every version on this machine, over SPDY and
 * over WebSockets where a version knows them, against an agent on another host: everything goes through its tunnel.
 */
const versions = await kubectlVersions();
const last = versions.at(-1);
/** A version, and whether it uses WebSockets. */
const modes = versions.flatMap((version) => [...(version.minor >= 30 ? [{ ...version, webSockets: true }] : []), { ...version, webSockets: false }]);
const ends = modes.filter(({ minor, webSockets }) => minor === versions[0]?.minor || (minor === last?.minor && webSockets) || (minor === last?.minor && !webSockets));
const label = ({ minor, webSockets }: (typeof modes)[number]): string => `1.${String(minor)} over ${webSockets ? 'WebSockets' : 'SPDY'}`;

let cluster: Cluster;
let files: string;

const image = 'cleat-hello:1';
const pod = {
  apiVersion: 'v1', kind: 'Pod', metadata: { name: 'box', labels: { app: 'box' } },
  spec: {
    terminationGracePeriodSeconds: 1,
    containers: [
      { name: 'main', image, ports: [{ containerPort: 8080 }], command: ['/bin/busybox', 'sh', '-c', 'busybox --install -s /bin; echo "<a href=\\"/other\\">page</a>" > /www/index.html; httpd -p 8080 -h /www; while :; do sleep 1 & wait $!; done'] },
      { name: 'echo', image, stdin: true, command: ['sh', '-c', 'while read line; do echo "got $line"; done; sleep 1000'] },
      { name: 'once', image, stdin: true, stdinOnce: true, command: ['sh', '-c', 'cat; echo done; sleep 1000'] },
    ],
  },
};

beforeAll(async () => {
  cluster = await Cluster.create({ agents: 1 });
  await cluster.importImage();
  await cluster.apply([pod, { apiVersion: 'v1', kind: 'Service', metadata: { name: 'box' }, spec: { selector: { app: 'box' }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] } }]);
  await cluster.kubectl(['wait', 'pod/box', '--for=condition=Ready', '--timeout=60s'], { timeoutMs: 70_000 });
  files = join(cluster.lab.directory, 'files');
  mkdirSync(files);
});
afterAll(async () => { await cluster?.destroy(); });

function client(mode: (typeof modes)[number]): Kubectl {
  const env = { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: String(mode.webSockets), KUBECTL_PORT_FORWARD_WEBSOCKETS: String(mode.webSockets && mode.minor >= 31) };
  return new Kubectl(cluster, mode, 'default', env);
}
const sh = (script: string): string[] => ['exec', 'box', '-c', 'main', '--', 'sh', '-c', script];

describe.each(modes.map((mode) => [label(mode), mode] as const))('kubectl %s', (_, mode) => {
  let k: Kubectl;
  beforeAll(() => { k = client(mode); });

  it('runs commands: output, errors, exit code, input to its end', async () => {
    const result = await k.result(sh('echo out; echo err >&2; exit 7'));
    expect([result.exitCode, result.stdout, result.stderr]).toEqual([7, 'out\n', 'err\ncommand terminated with exit code 7\n']);
    expect(await k.run(['exec', '-i', 'box', '-c', 'main', '--', 'cat'], { input: 'some input\n' })).toBe('some input\n');
    expect(await k.run(['exec', 'box', '-c', 'main', '--', 'hostname'])).toBe('box\n');
  });

  it('forwards ports', async () => {
    const name = `forward-${String(mode.minor)}-${String(mode.webSockets)}`;
    const forward = k.spawn(name, 'port-forward pod/box :8080 :9');
    await forward.waitForOutput(/127\.0\.0\.1:\d+ -> 9\n/);
    const [http, refused] = [...forward.output().matchAll(/127\.0\.0\.1:(\d+) ->/g)].map(([, port]) => port);
    const pages = await Promise.all(Array.from({ length: 8 }, () => cluster.controlPlaneHost.execOk('curl', ['-sS', `http://127.0.0.1:${http ?? ''}/`])));
    expect(new Set(pages)).toEqual(new Set(['<a href="/other">page</a>\n']));
    expect((await cluster.controlPlaneHost.exec('curl', ['-sS', `http://127.0.0.1:${refused ?? ''}/`])).exitCode).not.toBe(0);
    await forward.waitForOutput(/error forwarding port 9 to pod box, uid .*refused/);
    await forward.kill();
  });
});

describe.each(ends.map((mode) => [label(mode), mode] as const))('kubectl %s, further', (_, mode) => {
  let k: Kubectl;
  beforeAll(() => { k = client(mode); });

  it('copies files both ways, unchanged', async () => {
    const data = randomBytes(24 << 20);
    const sum = createHash('sha256').update(data).digest('hex');
    const [from, back] = [join(files, 'from'), join(files, 'back')];
    writeFileSync(from, data);
    await k.run(['cp', from, 'box:/tmp/file', '-c', 'main']);
    expect(await k.run(sh('sha256sum /tmp/file'))).toContain(sum);
    await k.run(['cp', 'box:/tmp/file', back, '-c', 'main']);
    expect(createHash('sha256').update(readFileSync(back)).digest('hex')).toBe(sum);
    for (const file of [from, back]) rmSync(file);
  });

  it('gives a terminal of its size', async () => {
    const script = `stty rows 33 cols 77; exec ${k.path} exec -it box -c main -- sh -c 'sleep 0.2; stty size; tty'`;
    const result = await cluster.controlPlaneHost.exec('script', ['-qec', script, '/dev/null'], { timeoutMs: 30_000, env: { ...k.env } });
    expect(result.stdout).toMatch(/33 77\r?\n\/dev\/pts\/\d+/);
  });

  it('attaches', async () => {
    const said = `hello-${label(mode).replaceAll(' ', '-')}`;
    const attached = cluster.controlPlaneHost.spawn(said, 'sh', ['-c', `(sleep 1; echo ${said}; sleep 60) | ${k.path} attach -i box -c echo`], { env: k.env });
    await attached.waitForOutput(`got ${said}`, 20_000);
    await attached.kill('SIGKILL');
  });

  it('says what is wrong', async () => {
    expect(await k.fails('exec absent -- true')).toContain('pods "absent" not found');
    expect(await k.fails('exec box -c absent -- true')).toContain('container absent is not valid for pod box');
    expect(await k.fails('exec box -c main -- absent-program')).toContain('executable file not found');
  });

  it('proxies', async () => {
    const link = (path: string): string => `<a href="${path}/other">page</a>\n`;
    for (const path of ['pods/box', 'pods/http:box:8080', 'services/box:http', 'services/http:box:http', 'services/box:80'].map((target) => `/api/v1/namespaces/default/${target}/proxy`)) {
      expect(await k.words(`get --raw ${path}/`)).toBe(link(path));
    }
    expect(await k.fails('get --raw /api/v1/namespaces/default/pods/box:9/proxy/')).toContain('error trying to reach service');
    expect(await k.words(`get --raw /api/v1/nodes/${cluster.nodeNames[0] ?? ''}/proxy/healthz`)).toBe('ok');
  });
});

describe('cleat', () => {
  const cleat = join(import.meta.dirname, '../../cleat');
  const run = (args: readonly string[], input = ''): ReturnType<typeof cluster.controlPlaneHost.exec> => cluster.controlPlaneHost.exec(cleat, args, { input, timeoutMs: 30_000 });

  it('runs commands', async () => {
    const result = await run(['exec', 'box', '-c', 'main', '--', 'sh', '-c', 'echo out; echo err >&2; exit 5']);
    expect([result.exitCode, result.stdout, result.stderr]).toEqual([5, 'out\n', 'err\ncommand terminated with exit code 5\n']);
    expect((await run(['exec', '-i', 'service/box', '--', 'cat'], 'some input\n'.repeat(100_000))).stdout).toBe('some input\n'.repeat(100_000));
    const terminal = await cluster.controlPlaneHost.exec('script', ['-qec', `stty rows 33 cols 77; exec ${cleat} exec -it box -- sh -c 'sleep 0.2; stty size; tty'`, '/dev/null'], { timeoutMs: 30_000 });
    expect(terminal.stdout).toMatch(/33 77\r*\n\/dev\/pts\/\d+/);
    const failed = await run(['exec', 'box', '-c', 'absent', '--', 'true']);
    expect([failed.exitCode, failed.stderr]).toEqual([1, expect.stringContaining('container absent is not valid for pod box')]);
    expect((await run(['exec', 'box', '--', 'absent-program'])).stderr).toContain('executable file not found');
    expect((await run(['exec', 'box', '--', 'ls', '-h', '/www'])).stdout).toContain('index.html');
  });

  it('copies files and folders', async () => {
    const host = cluster.controlPlaneHost;
    // A folder that goes with the host.
    await host.sh('mkdir -p /run/cp/from/sub; cd /run/cp/from; head -c 5000000 /dev/urandom > data; echo text > sub/file; ln -s file sub/link');
    for (const args of [['/run/cp/from', 'box:/tmp/to'], ['/run/cp/from/data', 'box:/tmp'], ['box:/tmp/to', '/run/cp/back'], ['box:/tmp/data', '/run/cp/data']]) {
      const result = await run(['cp', ...args, '-c', 'main']);
      expect([args, result.exitCode, result.stderr]).toEqual([args, 0, '']);
    }
    await host.sh('cd /run/cp; diff -r from back; cmp from/data data; test "$(readlink back/sub/link)" = file');
    // Once more into what is there by now: what is new comes, and nothing else goes. Folders on the way are made.
    await host.sh('cd /run/cp; mkdir -p again/to/sub; echo own > again/to/own; echo old > again/to/sub/file');
    for (const to of ['/run/cp/again', '/run/cp/again', '/run/cp/new/folder/to']) expect([to, await run(['cp', 'box:/tmp/to', to, '-c', 'main'])]).toEqual([to, expect.objectContaining({ exitCode: 0, stderr: '' })]);
    await host.sh('cd /run/cp; test "$(cat again/to/own)" = own; rm again/to/own; diff -r from again/to; diff -r from new/folder/to; test "$(readlink again/to/sub/link)" = file; test -z "$(find . -name ".cleat-cp-*")"');
    const failed = await run(['cp', 'box:/absent', '/run/cp/x']);
    expect([failed.exitCode, failed.stderr]).toEqual([1, expect.stringMatching(/exit code 1: .*absent/)]);
    expect((await run(['cp', '/absent', 'box:/x'])).exitCode).toBe(1);
  });

  it('attaches, and forwards ports', async () => {
    const attached = cluster.controlPlaneHost.spawn('cleat-attach', 'sh', ['-c', `(sleep 1; echo hello-cleat; sleep 60) | ${cleat} attach -i box -c echo`]);
    await attached.waitForOutput('got hello-cleat', 20_000);
    await attached.kill('SIGKILL');
    const forward = cluster.controlPlaneHost.spawn('cleat-forward', cleat, ['port-forward', 'service/box', ':80']);
    await forward.waitForOutput(/127\.0\.0\.1:\d+ -> 8080\n/);
    const [, port = ''] = /127\.0\.0\.1:(\d+)/.exec(forward.output()) ?? [];
    const pages = await Promise.all(Array.from({ length: 8 }, () => cluster.controlPlaneHost.execOk('curl', ['-sS', `http://127.0.0.1:${port}/`])));
    expect(new Set(pages)).toEqual(new Set(['<a href="/other">page</a>\n']));
    expect((await forward.kill('SIGINT')).code).toBe(130);
  });
});

it('closes the input of a program that wants it once, when its user leaves', async () => {
  if (!last) throw new Error('there is no kubectl');
  const k = client({ ...last, webSockets: false });
  const attached = cluster.controlPlaneHost.spawn('once', 'sh', ['-c', `echo only this | ${k.path} attach -i box -c once`], { env: k.env });
  await k.until('logs box -c once', 'only this\ndone\n');
  await attached.kill('SIGKILL');
});

it('ends what a user has left behind: nothing stays open', async () => {
  if (!last) throw new Error('there is no kubectl');
  const k = client({ ...last, webSockets: true });
  const reader = cluster.controlPlaneHost.spawn('left', 'sh', ['-c', `tail -f /dev/null | sh -c 'echo $$ > /tmp/left; exec ${k.path} exec -i box -c main -- cat'`], { env: k.env });
  await eventually(async () => (await k.run(sh('ps'))).includes(' cat\n'), { what: 'the command to run', timeoutMs: 10_000 });
  await cluster.controlPlaneHost.sh('kill -9 $(cat /tmp/left)');
  await eventually(async () => !(await k.run(sh('ps'))).includes(' cat\n'), { what: 'the command to end', timeoutMs: 10_000 });
  await reader.kill('SIGKILL');
});

it('@kubernetes/client-node runs commands and forwards ports', async () => {
  const script = `
    import { Exec, KubeConfig, PortForward } from '@kubernetes/client-node';
    import { PassThrough, Writable } from 'node:stream';
    const config = new KubeConfig();
    config.loadFromFile('/etc/cleat/kubeconfig');
    let out = '';
    const sink = () => new Writable({ write(chunk, _, done) { out += chunk; done(); } });
    const status = await new Promise((resolve, reject) => {
      new Exec(config).exec('default', 'box', 'main', ['sh', '-c', 'echo out; exit 4'], sink(), sink(), null, false, resolve).catch(reject);
    });
    const input = new PassThrough();
    await new PortForward(config).portForward('default', 'box', [8080], sink(), null, input);
    input.write('GET / HTTP/1.0\\r\\n\\r\\n');
    while (!out.includes('</a>')) await new Promise((resolve) => setTimeout(resolve, 10));
    console.log(JSON.stringify({ status, out }));
    process.exit(0);`;
  const answer = await cluster.controlPlaneHost.execOk(process.execPath, ['--input-type=module', '-e', script], { cwd: join(import.meta.dirname, '../..'), timeoutMs: 30_000 });
  const { status, out } = JSON.parse(answer) as { status: unknown; out: string };
  expect(status).toMatchObject({ status: 'Failure', reason: 'NonZeroExitCode', details: { causes: [{ reason: 'ExitCode', message: '4' }] } });
  expect(out).toMatch(/^out\n[^]*HTTP\/1\.\d 200 OK[^]*<a href="\/other">page<\/a>/);
});
