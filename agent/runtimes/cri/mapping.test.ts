import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadContract } from '#proto/load.ts';
import { toContainer, toSandbox } from './mapping.ts';
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
