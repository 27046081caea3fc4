import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CSINode, Event, Node, PersistentVolumeClaim, Pod, VolumeAttachment } from '#api/gen/types.ts';
import { attachmentName } from '#api/volumes/csi.ts';
import { Cluster } from '../support/cluster.ts';
import { eventually } from '../support/lab/eventually.ts';
import type { LabProcess } from '../support/lab/process.ts';

const program = join(import.meta.dirname, '../support/csi-driver.py');
const driver = 'toy.example.com';
const volumes = '/var/lib/toy-volumes';

/** A CSI driver in Python whose volumes are bind mounts, for pods on a real agent; who attaches volumes is the test. */
describe('CSI drivers', () => {
  let cluster: Cluster;
  let running: LabProcess | undefined;

  beforeAll(async () => {
    cluster = await Cluster.create({ agents: 1 });
    await cluster.importImage();
  });
  afterAll(async () => { await cluster?.destroy(); });

  const host = () => cluster.agentHost(0);
  /** Started with these modes; what it is told later comes through a pipe. */
  async function startDriver(...modes: string[]): Promise<LabProcess> {
    await host().sh(`rm -f /run/toy; mkfifo /run/toy; mkdir -p ${volumes}`);
    const started = host().spawn('csi-driver', 'sh', ['-c', `exec /usr/bin/python3 -u ${program} /var/lib/kubelet ${driver} ${volumes} ${modes.join(' ')} <>/run/toy`]);
    await started.waitForOutput('serving', 20_000);
    return running = started;
  }
  const until = <T>(what: string, look: () => Promise<T | false | undefined>): Promise<T> => eventually(look, { what, timeoutMs: 60_000, intervalMs: 100, explain: async () => `${running?.output().slice(-4000) ?? ''}\n${await cluster.diagnostics()}` });
  const untilReady = (name: string): Promise<true> => until(`pod ${name} to be ready`, async () => (await cluster.json<Pod>(['get', 'pod', name])).status?.containerStatuses?.[0]?.ready === true && true);
  const mounts = (): Promise<string> => host().sh("grep -E 'kubernetes.io.csi' /proc/self/mountinfo || true");
  const attachment = (): string => attachmentName(driver, 'h1', host().name);

  it('register with the node: CSINode and labels', async () => {
    await startDriver('slow');
    await running?.waitForOutput('registered', 20_000);
    const { spec, metadata } = await until('the CSINode', () => cluster.json<CSINode>(['get', 'csinode', host().name]).catch(() => undefined));
    expect(metadata?.ownerReferences?.[0]).toMatchObject({ kind: 'Node', name: host().name });
    expect(spec.drivers).toEqual([{ name: driver, nodeID: `id-of-${driver}`, topologyKeys: [`topology.${driver}/rack`], allocatable: { count: 7 } }]);
    expect((await cluster.json<Node>(['get', 'node', host().name])).metadata?.labels?.[`topology.${driver}/rack`]).toBe('r1');
  });

  it('mount a volume once it is attached, through a crash of the agent between staging and publishing and a driver that is away', async () => {
    const claim = (name: string): object => ({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name }, spec: { accessModes: ['ReadWriteOnce'], storageClassName: '', volumeName: name, resources: { requests: { storage: '1Gi' } } } });
    await cluster.apply([
      { apiVersion: 'storage.k8s.io/v1', kind: 'CSIDriver', metadata: { name: driver }, spec: { attachRequired: true, podInfoOnMount: true, fsGroupPolicy: 'File', volumeLifecycleModes: ['Persistent', 'Ephemeral'] } },
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'stage', namespace: 'kube-system' }, stringData: { password: 'hush' } },
      { apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name: 'data' }, spec: {
        capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], persistentVolumeReclaimPolicy: 'Retain', csi: { driver, volumeHandle: 'h1', fsType: 'ext4', nodeStageSecretRef: { name: 'stage', namespace: 'kube-system' } },
        nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [{ key: `topology.${driver}/rack`, operator: 'In', values: ['r1'] }] }] } } } },
      claim('data'),
      { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'user' }, spec: { terminationGracePeriodSeconds: 1, securityContext: { fsGroup: 4711 },
        volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }],
        containers: [{ name: 'c', image: 'cleat-hello:1', command: ['sh', '-c', 'echo kept >>/data/file; sleep 100000'], volumeMounts: [{ name: 'data', mountPath: '/data' }] }] } },
    ]);
    const made = await until('the VolumeAttachment', () => cluster.json<VolumeAttachment>(['get', 'volumeattachment', attachment()]).catch(() => undefined));
    expect(made.spec).toEqual({ attacher: driver, nodeName: host().name, source: { persistentVolumeName: 'data' } });
    expect(running?.output()).not.toContain('"stage"');
    // As the external attacher does it.
    await cluster.kubectl(['replace', '--raw', `/apis/storage.k8s.io/v1/volumeattachments/${attachment()}/status`, '-f', '-'], { input: JSON.stringify({ ...made, status: { attached: true, attachmentMetadata: { lun: '3' } } }) });
    await running?.waitForOutput('"publish"', 30_000);
    expect(running?.output()).toMatch(/"event": "stage".*"publishContext": \{"lun": "3"\}, "secrets": \{"password": "hush"\}/);
    await cluster.stopAgent(0, 'SIGKILL');
    await running?.kill('SIGKILL');
    expect(await mounts()).toMatch(/globalmount/);
    cluster.startAgent(0);
    await until('the pod to say what it waits for', async () => (await cluster.json<{ items: Event[] }>(['get', 'events', '--field-selector', 'reason=FailedMount'])).items.some(({ message }) => message?.includes(`driver name ${driver} not found in the list of registered CSI drivers`)));
    await startDriver();
    await untilReady('user');
    expect((await cluster.json<Node>(['get', 'node', host().name])).status?.volumesInUse).toEqual([`kubernetes.io/csi/${driver}^h1`]);
    expect(await host().sh(`cat ${volumes}/h1/file; stat -c %g ${volumes}/h1`)).toBe('kept\n4711\n');
    expect((await mounts()).trim().split('\n')).toHaveLength(2);
  });

  it('grow a volume while its pod runs, once the resizer has, and tell how full it is', async () => {
    await cluster.kubectl(['patch', 'pv', 'data', '--type=merge', '-p', '{"spec":{"capacity":{"storage":"2Gi"}}}']);
    await running?.waitForOutput('"event": "expand"', 30_000);
    expect(running?.output()).toMatch(/"event": "expand", "id": "h1", .*"bytes": 2147483648/);
    const claim = await until('the claim to show it', async () => {
      const found = await cluster.json<PersistentVolumeClaim>(['get', 'pvc', 'data']);
      return found.status?.capacity?.['storage'] === '2Gi' && found;
    });
    expect(claim.status?.allocatedResourceStatuses).toBeUndefined();
    const seen = async (about: string): Promise<boolean> => (await cluster.json<{ items: Event[] }>(['get', 'events', '--field-selector', `reason=FileSystemResizeSuccessful,involvedObject.kind=${about}`])).items.length > 0;
    await until('an Event of both', async () => await seen('Pod') && await seen('PersistentVolumeClaim'));
    const kubelet = (path: string): Promise<string> => cluster.kubectl(['get', '--raw', `/api/v1/nodes/${host().name}/proxy/${path}`]);
    expect(await kubelet('metrics')).toMatch(/kubelet_volume_stats_used_bytes\{namespace="default",persistentvolumeclaim="data"\} 400/);
    expect(JSON.parse(await kubelet('stats/summary'))).toMatchObject({ node: { fs: { capacityBytes: expect.any(Number) }, runtime: { imageFs: { usedBytes: expect.any(Number), availableBytes: expect.any(Number) } } }, pods: expect.arrayContaining([
      expect.objectContaining({ podRef: expect.objectContaining({ name: 'user' }), 'ephemeral-storage': expect.objectContaining({ usedBytes: expect.any(Number), capacityBytes: expect.any(Number) }), volume: expect.arrayContaining([expect.objectContaining({ name: 'data', pvcRef: { name: 'data', namespace: 'default' }, capacityBytes: 1000, volumeHealthStats: { abnormal: true } })]) }),
    ]) });
  });

  it('make volumes that live with their pod', async () => {
    await cluster.apply([{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'inline' }, spec: { terminationGracePeriodSeconds: 1, volumes: [{ name: 'tmp', csi: { driver, volumeAttributes: { size: '1' } } }],
      containers: [{ name: 'c', image: 'cleat-hello:1', command: ['sh', '-c', 'echo x >/tmp/file; sleep 100000'], volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }] }] } }]);
    await untilReady('inline');
    expect(running?.output()).toMatch(/"event": "publish".*"csi.storage.k8s.io\/pod.name": "inline"/);
  });

  it('and local volumes are given to containers as block devices', async () => {
    await host().sh('mknod /var/lib/block b 7 250');
    await cluster.apply([
      { apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name: 'disk' }, spec: { capacity: { storage: '1Gi' }, volumeMode: 'Block', accessModes: ['ReadWriteOnce'], local: { path: '/var/lib/block' },
        nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [host().name] }] }] } } } },
      { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 'disk' }, spec: { accessModes: ['ReadWriteOnce'], volumeMode: 'Block', storageClassName: '', volumeName: 'disk', resources: { requests: { storage: '1Gi' } } } },
      { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'raw' }, spec: { terminationGracePeriodSeconds: 1, volumes: [{ name: 'disk', persistentVolumeClaim: { claimName: 'disk' } }],
        containers: [{ name: 'c', image: 'cleat-hello:1', command: ['sh', '-c', 'sleep 100000'], volumeDevices: [{ name: 'disk', devicePath: '/dev/xvda' }] }] } },
    ]);
    await untilReady('raw');
    expect(await cluster.kubectl(['exec', 'raw', '--', 'busybox', 'stat', '-c', '%F %t:%T', '/dev/xvda'])).toBe('block special file 7:fa\n');
    await cluster.kubectl(['delete', 'pod', 'raw', '--now', '--wait=false']);
  });

  it('unmount for pods that go, also while nobody looked; then the volume is detached', async () => {
    await cluster.kubectl(['delete', 'pod', 'inline', '--now']);
    await cluster.stopAgent(0, 'SIGKILL');
    await cluster.kubectl(['delete', 'pod', 'user', '--force', '--grace-period=0']);
    cluster.startAgent(0);
    await until('everything to be unmounted', async () => (await mounts()) === '');
    await until('the volume to be detached', async () => (await cluster.kubectlResult(['get', 'volumeattachment', attachment()])).stderr.includes('NotFound'));
    expect(running?.output()).toMatch(/"event": "unstage"/);
    await until('no trace of it', async () => (await host().sh('find /var/lib/kubelet/pods /var/lib/kubelet/plugins/kubernetes.io -name vol_data.json -o -name mount -o -name globalmount')) === '');
    expect(await host().sh(`cat ${volumes}/h1/file`)).toBe('kept\n');
  });
});
