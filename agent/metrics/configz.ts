import { goDuration } from '#common/go-duration.ts';
import { nodePolicy, parseShutdownGroups } from '#agent/node/policy.ts';
import type { AgentConfig } from '#agent/config.ts';

export interface RunningConfig {
  readonly config: AgentConfig;
  /** As the cluster has it. */
  readonly clusterDns: string;
  /** `unix://…` */
  readonly runtimeEndpoint: string;
}

/**
 * `/configz`: what this agent was told, in the words of a kubelet's configuration, as far as there are any for it. What
 * Cleat does not have is not there; a few are there because people ask whether it does.
 * Source: https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
 */
export function configz({ config, clusterDns, runtimeEndpoint }: RunningConfig): object {
  const { thresholds } = nodePolicy(config);
  const [hard, soft] = [thresholds.filter(({ graceMs }) => graceMs === 0), thresholds.filter(({ graceMs }) => graceMs > 0)];
  return { kubeletconfig: {
    // Agents listen on no port.
    enableServer: false,
    ...(config.podManifestPath !== '' && { staticPodPath: config.podManifestPath }),
    rotateCertificates: true,
    clusterDomain: config.clusterDomain, clusterDNS: [clusterDns], resolvConf: '/etc/resolv.conf',
    nodeStatusUpdateFrequency: goDuration(config.nodeStatusPeriodMs),
    imageMinimumGCAge: goDuration(config.imageMinimumGcAgeMs), imageMaximumGCAge: goDuration(config.imageMaximumGcAgeMs),
    imageGCHighThresholdPercent: config.imageGcHighThreshold, imageGCLowThresholdPercent: Math.min(config.imageGcLowThreshold, config.imageGcHighThreshold),
    serializeImagePulls: config.maxParallelImagePulls === 1, maxParallelImagePulls: config.maxParallelImagePulls,
    cgroupRoot: '/', cgroupsPerQOS: false, cpuManagerPolicy: 'none', memoryManagerPolicy: 'None', topologyManagerPolicy: config.topologyManagerPolicy, topologyManagerScope: config.topologyManagerScope,
    maxPods: config.maxPods, podPidsLimit: config.podMaxPids,
    evictionHard: Object.fromEntries(hard.map(({ signal, text }) => [signal, text])),
    ...(soft.length > 0 && {
      evictionSoft: Object.fromEntries(soft.map(({ signal, text }) => [signal, text])), evictionSoftGracePeriod: Object.fromEntries(soft.map(({ signal, graceMs }) => [signal, goDuration(graceMs)])),
    }),
    evictionPressureTransitionPeriod: goDuration(config.evictionTransitionMs), evictionMaxPodGracePeriod: config.evictionMaxPodGraceSeconds,
    ...(config.evictionMinimumReclaim !== '' && { evictionMinimumReclaim: pairs(config.evictionMinimumReclaim) }),
    failSwapOn: false,
    containerLogMaxSize: config.containerLogMaxSize, containerLogMaxFiles: config.containerLogMaxFiles,
    ...(config.systemReserved !== '' && { systemReserved: pairs(config.systemReserved) }), ...(config.kubeReserved !== '' && { kubeReserved: pairs(config.kubeReserved) }),
    ...(config.allowedUnsafeSysctls.length > 0 && { allowedUnsafeSysctls: config.allowedUnsafeSysctls }),
    shutdownGracePeriod: goDuration(config.shutdownGraceMs), shutdownGracePeriodCriticalPods: goDuration(config.shutdownCriticalGraceMs),
    ...(config.shutdownGraceByPriority !== '' && {
      shutdownGracePeriodByPodPriority: parseShutdownGroups(config.shutdownGraceByPriority).map(({ priority, graceMs }) => ({ priority, shutdownGracePeriodSeconds: Math.floor(graceMs / 1000) })),
    }),
    containerRuntimeEndpoint: runtimeEndpoint,
    kind: 'KubeletConfiguration', apiVersion: 'kubelet.config.k8s.io/v1beta1',
  } };
}

function pairs(text: string): Record<string, string> {
  return Object.fromEntries(text.split(',').filter(Boolean).map((part) => part.split('=').map((side) => side.trim()) as [string, string]));
}
