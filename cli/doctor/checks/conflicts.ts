import type { Check, Finding } from '../types.ts';

/** Others that run pods; two of them on one host undo each other's rules and take each other's plugins. */
const rivals: readonly { readonly names: readonly string[]; readonly what: string; readonly stop: string }[] = [
  { names: ['k3s', 'k3s-server', 'k3s-agent'], what: 'k3s', stop: 'sudo k3s-killall.sh, then sudo systemctl disable k3s k3s-agent (or k3s-uninstall.sh)' },
  { names: ['rke2', 'rke2-server', 'rke2-agent'], what: 'RKE2', stop: 'sudo rke2-killall.sh, then sudo systemctl disable rke2-server rke2-agent' },
  { names: ['k0s'], what: 'k0s', stop: 'sudo k0s stop && sudo k0s reset' },
  { names: ['kubelite'], what: 'MicroK8s', stop: 'sudo microk8s stop && sudo snap disable microk8s' },
  { names: ['kubelet'], what: 'kubelet', stop: 'sudo systemctl disable --now kubelet (and kubeadm reset, if its cluster is not needed any more)' },
  { names: ['kube-proxy'], what: 'kube-proxy', stop: 'end it, then: sudo kube-proxy --cleanup' },
];

export const conflicts: Check = ({ processes, foreignCni }) => {
  const findings: Finding[] = rivals.filter(({ names }) => names.some((name) => processes.has(name))).map(({ what, stop }) => ({
    check: 'conflicts', level: 'fail', what: `${what} runs here`, why: 'two that run pods on one host undo each other\'s rules', fix: stop,
  }));
  if (foreignCni.length > 0) {
    findings.push({ check: 'conflicts', level: 'warn', what: `/etc/cni/net.d has ${foreignCni.join(', ')}`, why: 'a runtime that is not Cleat\'s own gives pods that network; it may be left from another cluster', fix: 'remove it when it is nobody\'s any more' });
  }
  if (processes.has('dockerd')) findings.push({ check: 'conflicts', level: 'ok', what: 'Docker runs; the agent has it let pods through and leaves its containers alone' });
  return findings.length > 0 ? findings : [{ check: 'conflicts', level: 'ok', what: 'nothing else here runs pods' }];
};
