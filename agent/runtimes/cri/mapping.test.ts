import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadContract } from '#proto/load.ts';
import { containerConfig, sandboxConfig } from '../test-configs.ts';
import { containerMessage, sandboxMessage, toContainer, toSandbox } from './mapping.ts';
import type { ContainerStatusMessage, ListedContainer, ListedSandbox, SandboxStatusMessage } from './messages.ts';

const cri = loadContract(new URL('../../../proto/third_party/cri/api.proto', import.meta.url), { longs: 'string' });
const read = <T>(type: string): ((bytes: Uint8Array) => T | undefined) => {
  const deserialize = cri.deserializer(`runtime.v1.${type}`);
  return (bytes) => {
    try {
      return deserialize(Buffer.from(bytes)) as T;
    } catch {
      return undefined;
    }
  };
};

describe('what a runtime says', () => {
  it('is taken for a container or a sandbox, however strange it is', () => {
    const [container, status, sandbox, network] = [read<ListedContainer>('Container'), read<ContainerStatusMessage>('ContainerStatus'), read<ListedSandbox>('PodSandbox'), read<SandboxStatusMessage>('PodSandboxStatus')];
    const none = new Uint8Array();
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), fc.uint8Array({ maxLength: 60 }), (listed, detail) => {
      const known = toContainer((container(listed) ?? container(none))!, (status(detail) ?? status(none))!);
      expect(['created', 'running', 'exited', 'unknown']).toContain(known.state);
      expect(known.graceSeconds).toBeGreaterThanOrEqual(0);
      expect([known.name, known.podUid, known.sandboxId, known.logPath].every((text) => typeof text === 'string')).toBe(true);
      expect(['ready', 'not-ready']).toContain(toSandbox((sandbox(listed) ?? sandbox(none))!, network(detail)).state);
    }));
    const strange = { ...container(none)!, annotations: { 'cleat.dev/grace-seconds': '-7 years' } };
    expect(toContainer(strange, { ...status(none)!, state: 17 as unknown as ContainerStatusMessage['state'] })).toMatchObject({ state: 'unknown', graceSeconds: 30 });
  });
});

describe('what a runtime is told', () => {
  const sandboxOf = (change: Parameters<typeof sandboxConfig>[1]) => sandboxMessage('node', sandboxConfig('/logs', change));
  const securityOf = (sandbox: Parameters<typeof sandboxConfig>[1], change: Parameters<typeof containerConfig>[1]) => (containerMessage('node', sandboxConfig('/logs', sandbox), containerConfig('true', change)) as { linux: { securityContext: unknown } }).linux.securityContext;
  const { security } = containerConfig('true');

  it('names the namespaces that are shared', () => {
    expect(sandboxOf({})).toMatchObject({ linux: { securityContext: { privileged: false, namespaceOptions: { network: 'POD', pid: 'CONTAINER', ipc: 'POD' } } } });
    expect(sandboxOf({ hostPid: true, hostIpc: true, hostNetwork: true })).toMatchObject({ linux: { securityContext: { privileged: true, namespaceOptions: { network: 'NODE', pid: 'NODE', ipc: 'NODE' } } } });
    expect(sandboxOf({ shareProcessNamespace: true, privileged: true })).toMatchObject({ linux: { securityContext: { privileged: true, namespaceOptions: { pid: 'POD' } } } });
    expect(securityOf({}, { targetContainerId: 'c1' })).toMatchObject({ namespaceOptions: { pid: 'TARGET', targetId: 'c1' } });
    expect(securityOf({ hostPid: true }, { targetContainerId: 'c1' })).toMatchObject({ namespaceOptions: { pid: 'NODE' } });
  });

  it('hears of the newer things in words that it knows', () => {
    const mounts = [{ containerPath: '/c', hostPath: '/h', readOnly: true, propagation: 'None', recursiveReadOnly: true }] as const;
    const config = containerMessage('node', sandboxConfig('/l'), containerConfig('true', { mounts, security: { ...security, strictGroups: true } }), true);
    const { CreateContainer: create, RunPodSandbox: run, Status: status } = cri.services.get('runtime.v1.RuntimeService') ?? {};
    expect(create?.requestDeserialize(create.requestSerialize({ config }))).toMatchObject({ config: { mounts: [{ recursiveReadOnly: true }], linux: { securityContext: { supplementalGroupsPolicy: 'Strict' }, resources: { unified: { 'memory.oom.group': '1' } } } } });
    const userNamespace = { first: 131_072, length: 65_536 };
    const [own, ids] = [sandboxConfig('/l', { userNamespace }), [{ hostId: 131_072, containerId: 0, length: 65_536 }]];
    const inOwn = { linux: { securityContext: { namespaceOptions: { usernsOptions: { mode: 'POD', uids: ids, gids: ids } } } } };
    expect(run?.requestDeserialize(run.requestSerialize({ config: sandboxMessage('node', own) }))).toMatchObject({ config: inOwn });
    const mapped = containerMessage('node', own, containerConfig('true', { mounts: [...mounts, { ...mounts[0], readOnly: false }] }));
    expect(create?.requestDeserialize(create.requestSerialize({ config: mapped }))).toMatchObject({ config: { ...inOwn, mounts: [{ uidMappings: ids, gidMappings: ids }, { uidMappings: ids, gidMappings: ids }] } });
    expect(create?.requestDeserialize(create.requestSerialize({ config }))).toMatchObject({ config: { linux: { securityContext: { namespaceOptions: { usernsOptions: null } } }, mounts: [{ uidMappings: [], gidMappings: [] }] } });
    const told = { runtimeHandlers: [{ name: 'runc', features: { recursiveReadOnlyMounts: true, userNamespaces: true } }], features: { supplementalGroupsPolicy: true } };
    expect(status?.responseDeserialize(status.responseSerialize(told))).toMatchObject(told);
    expect(status?.responseDeserialize(Buffer.alloc(0))).toMatchObject({ runtimeHandlers: [], features: null });
  });

  it('hands confinement on', () => {
    expect(securityOf({}, {})).toMatchObject({ seccomp: { profileType: 'Unconfined' } });
    const confined = { ...security, maskedPaths: ['/a'], readonlyPaths: ['/b'], seccomp: { type: 'Localhost', reference: '/s.json' }, appArmor: { type: 'RuntimeDefault' }, seLinux: { user: 'u', role: 'r', type: 't', level: 'l' } } as const;
    expect(securityOf({}, { security: confined })).toMatchObject({
      maskedPaths: ['/a'], readonlyPaths: ['/b'], seccomp: { profileType: 'Localhost', localhostRef: '/s.json' }, apparmor: { profileType: 'RuntimeDefault' }, selinuxOptions: confined.seLinux,
    });
  });
});
