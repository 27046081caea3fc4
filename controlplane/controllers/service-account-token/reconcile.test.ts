import { expect, it } from 'vitest';
import type { Secret } from '#api/gen/types.ts';
import { reconcileTokenSecret } from './reconcile.ts';

const facts = { token: (namespace: string, { name, uid }: { name: string; uid: string }, secret: string) => `${namespace}/${name}/${uid}/${secret}`, rootCa: 'CA' };
const secret = (annotations: Record<string, string> = {}, data?: Record<string, string>): Secret => ({
  type: 'kubernetes.io/service-account-token', metadata: { name: 's', namespace: 'n', annotations: { 'kubernetes.io/service-account.name': 'a', ...annotations } }, ...(data && { data }),
});
const account = { metadata: { name: 'a', namespace: 'n', uid: 'u' } };
const text = (base64: string | undefined): string => Buffer.from(base64 ?? '', 'base64').toString();

it('fills in token, CA, namespace and the account\'s uid, once', () => {
  const [action] = reconcileTokenSecret(secret(), account, facts);
  const filled = (action?.type === 'update' ? action.object : {}) as Secret;
  expect(filled.metadata?.annotations?.['kubernetes.io/service-account.uid']).toBe('u');
  expect(Object.fromEntries(Object.entries(filled.data ?? {}).map(([key, value]) => [key, text(value)]))).toEqual({ 'ca.crt': 'CA', namespace: 'n', token: 'n/a/u/s' });
  expect(reconcileTokenSecret(filled, account, facts)).toEqual([]);
  expect(reconcileTokenSecret(filled, account, { ...facts, rootCa: 'new' })).toMatchObject([{ type: 'update', object: { data: { token: filled.data?.['token'] } } }]);
});

it('deletes what belongs to no account, or to one that was replaced', () => {
  expect(reconcileTokenSecret(secret(), undefined, facts)).toMatchObject([{ type: 'delete' }]);
  expect(reconcileTokenSecret(secret({ 'kubernetes.io/service-account.uid': 'old' }), account, facts)).toMatchObject([{ type: 'delete' }]);
  expect(reconcileTokenSecret({ ...secret(), type: 'Opaque' }, undefined, facts)).toEqual([]);
});
