import { expect, it } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import { podToken } from './pod-tokens.ts';

const pod: Pod = {
  metadata: { namespace: 'ns', name: 'web', uid: 'u' },
  spec: { nodeName: 'here', containers: [], volumes: [{ name: 'v', projected: { sources: [{ serviceAccountToken: { path: 'token', expirationSeconds: 3607 } }, { serviceAccountToken: { path: 'other', audience: 'vault', expirationSeconds: 600 } }] } }] },
};
const deps = {
  tokens: { issue: ({ metadata }: Pod, audience: string, seconds: number) => `${metadata?.name ?? ''}/${audience}/${String(seconds)}` },
  informers: { pods: { get: (namespace: string | undefined, name: string) => (namespace === 'ns' && name === 'web' ? pod : undefined), list: () => [], by: () => [] } },
};
const node = (name: string) => ({ name, publicKeySha256: '', expired: false });
const request = { namespace: 'ns', podName: 'web', podUid: 'u', audience: '', expirationSeconds: 3607 };

it('gives a node the tokens that its pods ask for', () => {
  expect(podToken(deps, node('here'), request)).toBe('web//3607');
  expect(podToken(deps, node('here'), { ...request, audience: 'vault', expirationSeconds: 600 })).toBe('web/vault/600');
});

it('gives it those that the CSI drivers of its volumes ask for', () => {
  const drivers = { get: (_: undefined, name: string) => (name === 'd' ? { metadata: { name }, spec: { tokenRequests: [{ audience: 'bank' }] } } : undefined), list: () => [], by: () => [] };
  const withDriver = { ...pod, spec: { ...pod.spec, containers: [], volumes: [{ name: 'c', csi: { driver: 'd' } }] } };
  const informers = { pods: { ...deps.informers.pods, get: () => withDriver }, csiDrivers: drivers } as unknown as typeof deps.informers;
  expect(podToken({ ...deps, informers }, node('here'), { ...request, audience: 'bank', expirationSeconds: 3600 })).toBe('web/bank/3600');
});

it.each([
  ['of a pod elsewhere', 'there', request, 'NotFound'],
  ['of another uid', 'here', { ...request, podUid: 'old' }, 'NotFound'],
  ['of a pod that is not', 'here', { ...request, podName: 'none' }, 'NotFound'],
  ['for an audience that nobody asked for', 'here', { ...request, audience: 'bank' }, 'Forbidden'],
  ['for longer than asked', 'here', { ...request, audience: 'vault', expirationSeconds: 3607 }, 'Forbidden'],
])('refuses those %s', (_, name, asked, code) => {
  expect(() => podToken(deps, node(name), asked)).toThrow(expect.objectContaining({ code }));
});
