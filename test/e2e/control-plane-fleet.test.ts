import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Deployment, Node, Pod } from '#api/gen/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { eventually } from '../support/lab/eventually.ts';
import type { LabHost } from '../support/lab/host.ts';
import { createLab, type Lab } from '../support/lab/lab.ts';
import type { LabProcess } from '../support/lab/process.ts';
import { RestClient } from '../support/rest-client.ts';

const support = join(import.meta.dirname, '../support');
const executable = join(import.meta.dirname, '../../cleat');
const agents = Number(process.env['FLEET_AGENTS'] ?? 300);
const deployments = Number(process.env['FLEET_DEPLOYMENTS'] ?? 6);
const perDeployment = 100;
/** Far from what it takes; what grows with every watch, session or restart passes it soon. */
const maxPssMb = 400;
const deploymentsPath = '/apis/apps/v1/namespaces/default/deployments';

describe('a control plane with many agents', () => {
  let lab: Lab;
  let host: LabHost;
  let api: RestClient;
  let controlPlane: LabProcess;
  let fleet: ChildProcess;
  let pid = 0;

  const start = async (): Promise<void> => {
    controlPlane = host.spawn('controlplane', executable, ['controlplane', `--advertise-address=${host.address}`, '--log-level=info', '--heartbeat-period=2s', '--node-monitor-grace-period=20s', '--pod-cidr=10.64.0.0/10']);
    await controlPlane.waitForOutput('is ready at', 20_000);
    pid = await controlPlane.pid();
  };

  beforeAll(async () => {
    lab = await createLab({ hosts: 1, uplink: true });
    host = lab.host(0);
    await start();
    api = new RestClient(host.path('/etc/cleat/kubeconfig'), host.address);
  });
  afterAll(async () => {
    fleet?.kill('SIGKILL');
    api?.close();
    await lab?.destroy();
  });

  const proc = (file: string): string => readFileSync(`/proc/${String(pid)}/${file}`, 'utf8');
  const pssMb = (): number => Number(/^Pss:\s+(\d+)/m.exec(proc('smaps_rollup'))?.[1]) / 1024;
  const cpuSeconds = (): number => {
    const fields = proc('stat').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) / 100;
  };
  const writtenKb = (): number => Number(/^write_bytes: (\d+)/m.exec(proc('io'))?.[1]) / 1024;
  const measured = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    const [cpu, began, written] = [cpuSeconds(), performance.now(), writtenKb()];
    await work();
    console.log(`${what}: ${((performance.now() - began) / 1000).toFixed(1)} s, cpu ${(cpuSeconds() - cpu).toFixed(2)} s, PSS ${pssMb().toFixed(0)} MB, written ${(writtenKb() - written).toFixed(0)} KB`);
  };
  const items = async <T extends KubeObject>(path: string): Promise<T[]> => ((await api.send('GET', path)).body.items ?? []) as T[];
  const pods = (): Promise<Pod[]> => items<Pod>('/api/v1/pods');
  const newest = async (): Promise<number> => Number((await api.send('GET', '/api/v1/pods?limit=1')).body.metadata?.resourceVersion);
  const running = (count: number): Promise<true> => eventually(async () => {
    const all = await pods();
    return all.length === count && all.every((pod) => pod.status?.phase === 'Running');
  }, { what: `${String(count)} running pods`, timeoutMs: 120_000, intervalMs: 250, explain: () => controlPlane.output().slice(-4000) });
  const web = (i: number, version: string): Deployment => ({
    apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: `web-${String(i)}` },
    spec: { replicas: perDeployment, selector: { matchLabels: { app: `web-${String(i)}` } }, template: { metadata: { labels: { app: `web-${String(i)}` } }, spec: { containers: [{ name: 'c', image: 'x', env: [{ name: 'V', value: version }] }] } } },
  });
  const total = deployments * perDeployment;

  it('spreads pods over all of them', async () => {
    await measured(`${String(agents)} agents`, async () => {
      fleet = spawn(process.execPath, [join(support, 'agent-fleet.ts'), host.address, '6443', host.path('/var/lib/cleat/server/pki'), String(agents)], { stdio: ['ignore', 'pipe', 'inherit'] });
      await once(fleet.stdout!, 'data');
      await eventually(async () => (await items<Node>('/api/v1/nodes')).filter((node) => node.spec?.podCIDR !== undefined && (node.spec.taints ?? []).length === 0).length === agents, { what: 'all nodes', timeoutMs: 120_000, intervalMs: 250 });
    });
    await measured(`${String(total)} pods`, async () => {
      for (let i = 0; i < deployments; i++) {
        expect((await api.send('POST', deploymentsPath, web(i, 'one'))).status).toBe(201);
        expect((await api.send('POST', '/api/v1/namespaces/default/services', { metadata: { name: `web-${String(i)}` }, spec: { selector: { app: `web-${String(i)}` }, ports: [{ port: 80 }] } })).status).toBe(201);
      }
      await running(total);
    });
    const perNode = Object.values(Object.groupBy(await pods(), (pod) => pod.spec?.nodeName ?? '')).map((list) => list?.length ?? 0);
    expect(perNode).toHaveLength(agents);
    expect(Math.max(...perNode) - Math.min(...perNode)).toBeLessThanOrEqual(3);
  });

  it('writes nothing but heartbeats once all is settled, and those not to disk', async () => {
    // Endpoints follow the last pod.
    await eventually(async () => {
      const before = await newest();
      await sleep(500);
      return await newest() - before <= agents;
    }, { what: 'quiet', timeoutMs: 20_000 });
    const [cpu, revision, written] = [cpuSeconds(), await newest(), writtenKb()];
    await sleep(6000);
    console.log(`resting: cpu ${((cpuSeconds() - cpu) / 0.06).toFixed(1)} %, PSS ${pssMb().toFixed(0)} MB, ${String(await newest() - revision)} revisions`);
    expect(await newest() - revision).toBeLessThanOrEqual(agents * 4);
    expect(writtenKb() - written).toBe(0);
    expect(pssMb()).toBeLessThan(maxPssMb);
  });

  it('rolls out, and a restart changes nothing', async () => {
    await measured('a rollout of 100', async () => {
      await api.send('PUT', `${deploymentsPath}/web-0`, web(0, 'two'));
      await eventually(async () => {
        const { status, metadata } = (await api.send('GET', `${deploymentsPath}/web-0`)).body as Deployment;
        return status?.observedGeneration === metadata?.generation && [status?.updatedReplicas, status?.replicas, status?.availableReplicas].every((n) => n === perDeployment);
      }, { what: 'the rollout', timeoutMs: 60_000, intervalMs: 100 });
      await running(total);
    });
    const before = new Map((await pods()).map((pod) => [pod.metadata?.uid, pod.metadata?.resourceVersion]));
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      await controlPlane.kill(signal);
      await start();
      await measured(`a restart after ${signal}`, async () => {
        await eventually(async () => (await items('/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases')).length === agents, { what: 'all agents to be back', timeoutMs: 60_000, intervalMs: 100 });
        await sleep(1000);
      });
      expect(new Map((await pods()).map((pod) => [pod.metadata?.uid, pod.metadata?.resourceVersion]))).toEqual(before);
      expect((await items<Node>('/api/v1/nodes')).filter((node) => (node.spec?.taints ?? []).length > 0)).toEqual([]);
      expect(pssMb()).toBeLessThan(maxPssMb);
    }
  });

  it('removes all', async () => {
    await measured('removal', async () => {
      for (let i = 0; i < deployments; i++) await api.send('DELETE', `${deploymentsPath}/web-${String(i)}`);
      // Not by listing them all the time: what is measured here is the removal.
      await eventually(async () => (await items('/api/v1/pods?limit=1')).length === 0, { what: 'no pods', timeoutMs: 120_000, intervalMs: 250, explain: () => controlPlane.output().slice(-4000) });
    });
    fleet.kill('SIGTERM');
    console.log(String((await once(fleet.stdout!, 'data'))[0]));
    expect(controlPlane.output().split('\n').filter((line) => /"level":(50|60)/.test(line))).toEqual([]);
  });
});
