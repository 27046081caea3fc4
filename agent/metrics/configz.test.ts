import { expect, it } from 'vitest';
import { goDuration } from '#common/go-duration.ts';
import { agentSettings, type AgentConfig } from '#agent/config.ts';
import { configz } from './configz.ts';

const defaults = Object.fromEntries(Object.entries(agentSettings).map(([name, { default: value }]) => [name, value])) as AgentConfig;
const of = (change: Partial<AgentConfig> = {}): Record<string, unknown> => (configz({ config: { ...defaults, ...change }, clusterDns: '10.43.0.10', runtimeEndpoint: 'unix:///run/c.sock' }) as { kubeletconfig: Record<string, unknown> }).kubeletconfig;

it("tells an agent's flags as a kubelet's configuration", () => {
  expect(of()).toEqual({
    kind: 'KubeletConfiguration', apiVersion: 'kubelet.config.k8s.io/v1beta1', enableServer: false, rotateCertificates: true, clusterDomain: 'cluster.local', clusterDNS: ['10.43.0.10'], resolvConf: '/etc/resolv.conf',
    nodeStatusUpdateFrequency: '10s', imageMinimumGCAge: '2m0s', imageMaximumGCAge: '0s', imageGCHighThresholdPercent: 85, imageGCLowThresholdPercent: 80, serializeImagePulls: false, maxParallelImagePulls: 3,
    cgroupRoot: '/', cgroupsPerQOS: false, cpuManagerPolicy: 'none', memoryManagerPolicy: 'None', topologyManagerPolicy: 'best-effort', topologyManagerScope: 'container', maxPods: 110, podPidsLimit: -1,
    evictionHard: { 'memory.available': '100Mi', 'nodefs.available': '10%', 'nodefs.inodesFree': '5%', 'imagefs.available': '10%', 'imagefs.inodesFree': '5%', 'pid.available': '5%' },
    evictionPressureTransitionPeriod: '5m0s', evictionMaxPodGracePeriod: 0, failSwapOn: false, containerLogMaxSize: '10Mi', containerLogMaxFiles: 5,
    shutdownGracePeriod: '0s', shutdownGracePeriodCriticalPods: '0s', containerRuntimeEndpoint: 'unix:///run/c.sock',
  });
});

it('tells what was asked for besides', () => {
  expect(of({
    podManifestPath: '/etc/pods', maxParallelImagePulls: 1, evictionHard: 'memory.available<200Mi', evictionSoft: 'nodefs.available<15%', evictionSoftGracePeriod: 'nodefs.available=1m30s', evictionMinimumReclaim: 'nodefs.available=500Mi',
    systemReserved: 'cpu=200m,memory=256Mi', kubeReserved: 'cpu=100m', allowedUnsafeSysctls: ['net.core.*'], shutdownGraceByPriority: '1000=20s,0=10s',
  })).toMatchObject({
    staticPodPath: '/etc/pods', serializeImagePulls: true, evictionHard: { 'memory.available': '200Mi' }, evictionSoft: { 'nodefs.available': '15%' }, evictionSoftGracePeriod: { 'nodefs.available': '1m30s' },
    evictionMinimumReclaim: { 'nodefs.available': '500Mi' }, systemReserved: { cpu: '200m', memory: '256Mi' }, kubeReserved: { cpu: '100m' }, allowedUnsafeSysctls: ['net.core.*'],
    shutdownGracePeriodByPodPriority: [{ priority: 0, shutdownGracePeriodSeconds: 10 }, { priority: 1000, shutdownGracePeriodSeconds: 20 }],
  });
});

it.each([[0, '0s'], [850, '850ms'], [1250, '1.25s'], [60_000, '1m0s'], [120_500, '2m0.5s'], [3_600_000, '1h0m0s'], [5_430_000, '1h30m30s']])('prints %i ms as Go does', (ms, text) => {
  expect(goDuration(ms)).toBe(text);
});
