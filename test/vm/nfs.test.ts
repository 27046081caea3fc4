import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Pod, PodSpec, Volume } from '#api/gen/types.ts';
import { VirtualCluster } from '../support/lab/virtual-cluster.ts';
import type { VirtualHost } from '../support/lab/virtual-host.ts';

const image = 'cleat-hello:1';
/** On the server; an overlay could not be exported. */
const share = '/var/lib/cleat/share';

/** One host serves a folder by NFS from its kernel, the other has pods that mount it. */
describe('volumes of an NFS server', () => {
  let cluster: VirtualCluster;
  let server: VirtualHost;
  let host: VirtualHost;
  const pod = (name: string, volume: Omit<Volume, 'name'>, mount: { readonly subPath?: string; readonly readOnly?: boolean } = {}, spec: Partial<PodSpec> = {}): Pod => ({
    apiVersion: 'v1', kind: 'Pod', metadata: { name },
    spec: {
      nodeName: host.name, terminationGracePeriodSeconds: 1, ...spec, volumes: [{ name: 'data', ...volume }],
      containers: [{ name: 'c', image, command: ['sh', '-c', 'sleep 100000'], volumeMounts: [{ name: 'data', mountPath: '/data', ...mount }] }],
    },
  });
  const inline = (path = '/', readOnly?: boolean): Omit<Volume, 'name'> => ({ nfs: { server: server.address, path, ...(readOnly !== undefined && { readOnly }) } });
  /** Without the parts of them that are held for containers. */
  const mounts = async (): Promise<string[]> => (await host.sh("awk '$3 ~ /^nfs/ && $2 !~ /sub-paths/ { print $2 }' /proc/mounts")).trim().split('\n').filter(Boolean);
  const reach = (answers: boolean): Promise<string> => server.sh(answers ? 'nft delete table inet lab' : 'nft add table inet lab; nft add chain inet lab input "{ type filter hook input priority -300; }"; nft add rule inet lab input tcp dport 2049 drop');
  const deleted = (...names: readonly string[]): Promise<unknown> => cluster.until(`${names.join(', ')} to be gone`, async () => {
    const left = await cluster.cleat('get pods --no-headers -o name');
    return !names.some((name) => left.split('\n').includes(`pod/${name}`));
  }, 90_000);
  /** `all`: the containerd that it runs, with every shim, too. */
  const killAgent = async (whom: 'main' | 'all'): Promise<void> => {
    const before = await host.sh('systemctl show -p MainPID --value cleat-agent');
    await host.sh(`systemctl kill -s KILL --kill-whom=${whom} cleat-agent`);
    await cluster.until('another agent', async () => { const now = await host.sh('systemctl show -p MainPID --value cleat-agent; systemctl is-active cleat-agent'); return now.endsWith('\nactive\n') && !now.startsWith(before); });
  };
  const containerOf = async (name: string): Promise<string | undefined> => (await cluster.pod(name)).status?.containerStatuses?.[0]?.containerID;

  beforeAll(async () => {
    cluster = await VirtualCluster.create({ hosts: 2 });
    [server, host] = [cluster.lab.host(0), cluster.lab.host(1)];
    // Whoever opened a file before the server was off would have a minute and a half to say so, and others wait for that.
    await server.sh(`
      mkdir -p ${share}/sub; echo from the server >${share}/sub/file
      echo '${share} *(rw,sync,fsid=0,no_root_squash,no_subtree_check)' >/etc/exports
      printf '[nfsd]\\ngrace-time=10\\nlease-time=10\\nthreads=2\\n' >/etc/nfs.conf
      systemctl start rpcbind nfs-server`, 180_000);
  });
  afterAll(async () => { await cluster?.destroy(); });

  it('are read and written by two pods, inline and by a claim; read-only where that is asked for; a folder of it by subPath', async () => {
    await cluster.apply(
      { apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name: 'share' }, spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteMany'], storageClassName: '', mountOptions: ['nfsvers=4.1', 'noatime'], nfs: { server: server.address, path: '/' } } } as never,
      { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 'share' }, spec: { accessModes: ['ReadWriteMany'], storageClassName: '', volumeName: 'share', resources: { requests: { storage: '1Gi' } } } } as never,
      pod('writer', inline()),
      pod('claimant', { persistentVolumeClaim: { claimName: 'share' } }),
      pod('reader', inline('/', true)),
      pod('part', inline(), { subPath: 'sub' }),
      pod('fresh', inline(), { subPath: 'made/for/it' }),
    );
    await cluster.running('writer', 'claimant', 'reader', 'part', 'fresh');
    await cluster.exec('writer', 'echo one >/data/one');
    await cluster.exec('claimant', 'cat /data/one; echo two >/data/two');
    expect(await cluster.exec('reader', 'cat /data/one /data/two; echo three 2>/dev/null >/data/three || echo refused')).toBe('one\ntwo\nrefused\n');
    expect(await cluster.exec('part', 'cat /data/file; ls /data')).toBe('from the server\nfile\n');
    await cluster.exec('fresh', 'echo four >/data/four');
    expect(await server.sh(`cd ${share}; cat one two made/for/it/four; ls`)).toBe('one\ntwo\nfour\nmade\none\nsub\ntwo\n');
    expect(await host.sh('grep " nfs" /proc/mounts')).toMatch(/noatime/);
    expect(await mounts()).toHaveLength(5);
  });

  it.each([['locks', ['nfsvers=3']], ['no locks', ['nfsvers=3', 'nolock']]])('are mounted by version 3 of the protocol, with %s, where mountOptions say so', async (what, mountOptions) => {
    const name = what.replace(' ', '-');
    await cluster.apply(
      { apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name }, spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteMany'], storageClassName: '', mountOptions, nfs: { server: server.address, path: share } } } as never,
      { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name }, spec: { accessModes: ['ReadWriteMany'], storageClassName: '', volumeName: name, resources: { requests: { storage: '1Gi' } } } } as never,
      pod(name, { persistentVolumeClaim: { claimName: name } }),
    );
    await cluster.running(name);
    expect(await cluster.exec(name, `cat /data/one; echo ${name} >/data/third`)).toBe('one\n');
    expect(await server.sh(`cat ${share}/third`)).toBe(`${name}\n`);
    const [, folder = '', , options = ''] = (await host.sh("grep ' nfs ' /proc/mounts")).split(' ');
    expect(options).toMatch(new RegExp(`vers=3.*local_lock=${name === 'locks' ? 'none' : 'all'}`));
    // With locks this one is the server's: its lockd and this host's statd have to know each other.
    expect(await host.sh(`flock ${folder}/third echo locked; rm ${folder}/third`)).toBe('locked\n');
    await cluster.cleat(`delete pod ${name} --wait=false`);
    await deleted(name);
  });

  it('stay mounted, once each, when the agent is killed', async () => {
    const before = [await containerOf('writer'), (await mounts()).sort().join()];
    await killAgent('main');
    await cluster.running('writer', 'claimant', 'reader', 'part', 'fresh');
    await cluster.exec('writer', 'echo more >>/data/one');
    expect(await cluster.exec('claimant', 'cat /data/one')).toBe('one\nmore\n');
    expect([await containerOf('writer'), (await mounts()).sort().join()]).toEqual(before);
  });

  it('hold up nobody else while the server is away: that is said, pods end, and an agent starts', async () => {
    await reach(false);
    await cluster.apply(pod('late', inline()));
    // Each of these would wait for the server, if something touched what is mounted: the restart of a container, an agent's start, a pod's end.
    await host.sh(`kill -9 $(head -n 1 /sys/fs/cgroup/kubepods/pod${(await cluster.pod('part')).metadata?.uid ?? ''}/*/cgroup.procs | grep -x '[0-9]*')`);
    await cluster.until('the container that waits to say why', async () => {
      const { waiting } = (await cluster.pod('part')).status?.containerStatuses?.[0]?.state ?? {};
      return waiting?.reason === 'CreateContainerConfigError' && waiting.message?.includes(`nfs ${server.address}:/: the server does not answer`) === true;
    });
    await cluster.cleat('delete pod reader fresh --wait=false');
    await deleted('reader', 'fresh');
    await killAgent('all');
    await cluster.ready();
    await cluster.apply(pod('other', { emptyDir: {} }));
    await cluster.running('other');
    expect(await cluster.exec('other', 'echo here')).toBe('here\n');
    await cluster.until('the event of the pod that waits', async () => new RegExp(`^FailedMount: MountVolume.SetUp failed for volume "data" : mount of nfs ${server.address}:/ failed: `, 'm').test(await cluster.events('late')), 400_000);
    expect((await cluster.pod('late')).status).toMatchObject({ phase: 'Pending' });
    await cluster.apply(pod('later', inline()));
    await cluster.cleat('delete pod late --wait=false');
    await deleted('late');
    expect(await mounts()).toHaveLength(3);
  });

  it('go on when the server is back, and nothing of them is left in the end', async () => {
    await reach(true);
    await cluster.running('writer', 'claimant', 'part', 'later');
    await cluster.exec('writer', 'echo again >>/data/one');
    expect(await cluster.exec('later', 'cat /data/one')).toBe('one\nmore\nagain\n');
    await cluster.cleat('delete pod writer claimant part later other --wait=false');
    await deleted('writer', 'claimant', 'part', 'later', 'other');
    expect([await mounts(), await host.sh('grep " nfs" /proc/mounts; ls /var/lib/cleat/pods; pgrep -l mount.nfs || true')]).toEqual([[], '']);
  });
}, 900_000);
