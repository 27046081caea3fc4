import { describe, expect, it } from 'vitest';
import type { ObjectMeta, PodSpec, SecurityContext } from '../gen/types.ts';
import { printViolations, violations, type Level } from './standards.ts';

const container = (securityContext: SecurityContext = {}, extra: object = {}, name = 'a'): PodSpec['containers'][number] => ({ name, image: 'i', securityContext, ...extra });
const careful: SecurityContext = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] }, runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } };
const check = (level: Level, spec: Partial<PodSpec>, metadata: ObjectMeta = {}, version = 'latest'): string => printViolations(violations(level, version, { metadata, spec: { containers: [container(careful)], ...spec } }));

describe('baseline', () => {
  it.each<readonly [Partial<PodSpec>, string]>([
    [{}, ''],
    [{ hostNetwork: true, hostIPC: true }, 'host namespaces (hostNetwork=true, hostIPC=true)'],
    [{ containers: [container({ privileged: true }), container({ privileged: true }, {}, 'b')] }, 'privileged (containers "a", "b" must not set securityContext.privileged=true)'],
    [{ containers: [container({ capabilities: { add: ['NET_ADMIN', 'CHOWN'] } })] }, 'non-default capabilities (container "a" must not include "NET_ADMIN" in securityContext.capabilities.add)'],
    [{ volumes: [{ name: 'v', hostPath: { path: '/' } }] }, 'hostPath volumes (volume "v")'],
    [{ containers: [container({}, { ports: [{ containerPort: 1, hostPort: 80 }, { containerPort: 2, hostPort: 81 }] })] }, 'hostPort (container "a" uses hostPorts 80, 81)'],
    [{ containers: [container({}, { livenessProbe: { httpGet: { port: 80, host: '10.0.0.1' } } })] }, 'probe or lifecycle host (container "a" uses probe or lifecycle host "10.0.0.1")'],
    [{ containers: [container({ procMount: 'Unmasked' })] }, 'procMount (container "a" must not set securityContext.procMount to "Unmasked")'],
    [{ securityContext: { seLinuxOptions: { type: 'spc_t', user: 'u' } } }, 'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set)'],
    [{ securityContext: { seccompProfile: { type: 'Unconfined' } }, containers: [container({ seccompProfile: { type: 'Unconfined' } })] }, 'seccompProfile (pod and container "a" must not set securityContext.seccompProfile.type to "Unconfined")'],
    [{ securityContext: { sysctls: [{ name: 'kernel.msgmax', value: '1' }, { name: 'net.ipv4.tcp_rmem', value: '1' }] } }, 'forbidden sysctls (kernel.msgmax)'],
    [{ securityContext: { windowsOptions: { hostProcess: true } } }, 'hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)'],
    [{ securityContext: { appArmorProfile: { type: 'Unconfined' } } }, 'forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined")'],
    [{ initContainers: [container({ privileged: true }, {}, 'init')], hostPID: true }, 'host namespaces (hostPID=true), privileged (container "init" must not set securityContext.privileged=true)'],
  ])('%j', (spec, expected) => { expect(check('baseline', spec)).toBe(expected); });

  it('knows annotations of old and the sysctls of each version', () => {
    expect(check('baseline', {}, { annotations: { 'container.apparmor.security.beta.kubernetes.io/a': 'unconfined' } })).toBe('forbidden AppArmor profile (annotation "container.apparmor.security.beta.kubernetes.io/a"="unconfined")');
    expect(check('baseline', { securityContext: { sysctls: [{ name: 'net.ipv4.tcp_rmem', value: '1' }] } }, {}, 'v1.24')).toBe('forbidden sysctls (net.ipv4.tcp_rmem)');
  });
});

describe('restricted', () => {
  it.each<readonly [Partial<PodSpec>, string]>([
    [{}, ''],
    [{ containers: [container()] }, 'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]), '
      + 'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'],
    [{ volumes: [{ name: 'v', hostPath: { path: '/' } }, { name: 'n', nfs: { server: 's', path: '/' } }] }, 'restricted volume types (volumes "v", "n" use restricted volume types "hostPath", "nfs")'],
    [{ containers: [container({ ...careful, capabilities: { drop: ['ALL'], add: ['CHOWN', 'NET_BIND_SERVICE'] } })] }, 'unrestricted capabilities (container "a" must not include "CHOWN" in securityContext.capabilities.add)'],
    [{ containers: [container({ ...careful, runAsNonRoot: false })] }, 'runAsNonRoot != true (container "a" must not set securityContext.runAsNonRoot=false)'],
    [{ securityContext: { runAsUser: 0 } }, 'runAsUser=0 (pod must not set runAsUser=0)'],
    [{ securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } }, containers: [container({ allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } })] }, ''],
    [{ os: { name: 'windows' }, containers: [container({ runAsNonRoot: true })] }, ''],
  ])('%j', (spec, expected) => { expect(check('restricted', spec)).toBe(expected); });

  it('was less strict once', () => {
    expect(check('restricted', { containers: [container()] }, {}, 'v1.18')).toBe('allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false), runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true)');
    expect(check('privileged', { hostPID: true })).toBe('');
  });
});
