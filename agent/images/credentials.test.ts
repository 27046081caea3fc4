import { describe, expect, it, test } from 'vitest';
import type { Pod, Secret } from '#api/gen/types.ts';
import { authOf, authsFor, podKeyring, type Keyring } from './credentials.ts';

const ring = (...keys: string[]): Keyring => keys.map((key) => [key, { username: key, password: 'p' }]);
const users = (image: string, ...keys: string[]): string[] => authsFor(image, ring(...keys)).map(({ username }) => username);

describe('credentials for an image', () => {
  // As kubelet's own examples have it: https://kubernetes.io/docs/concepts/containers/images/#config-json
  test.each<[string, string, boolean]>([
    ['my-registry.example/images/app', 'my-registry.example', true],
    ['my-registry.example/images/app', 'my-registry.example/images', true],
    ['my-registry.example/other/app', 'my-registry.example/images', false],
    ['sub.my-registry.example/app', '*.my-registry.example', true],
    ['deep.sub.my-registry.example/app', '*.my-registry.example', false],
    ['my-registry.example/app', '*.my-registry.example', false],
    ['prefix-sub.example/app', 'prefix-*.example', true],
    ['suffix.example/app', 'prefix-*.example', false],
    ['a.sub.example/app', '*.sub.*', true],
    ['registry.example:5000/app', 'registry.example:5000', true],
    ['registry.example:5000/app', 'registry.example', false],
    ['registry.example/app', 'registry.example:5000', false],
    ['docker.io/library/app', 'index.docker.io', true],
    ['docker.io/library/app', 'docker.io', true],
    ['registry.example/app', 'index.docker.io', false],
  ])('%s by %s: %s', (image, key, fits) => { expect(users(image, key)).toEqual(fits ? [key] : []); });

  it('are tried with the most fitting first', () => {
    expect(users('r.example/team/app', 'r.example', 'other.example', 'r.example/team', 'r.example/team/app')).toEqual(['r.example/team/app', 'r.example/team', 'r.example']);
  });

  it('take no long to find, whatever the pattern', () => {
    expect(users(`${'a'.repeat(5000)}/x`, `${'*a'.repeat(200)}b`)).toEqual([]);
  });
});

describe('credentials of a pod', () => {
  const secret = (data: Record<string, unknown>): Secret => ({ apiVersion: 'v1', kind: 'Secret', data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64')])) });
  const pod: Pod = { apiVersion: 'v1', kind: 'Pod', metadata: { namespace: 'web' }, spec: { containers: [], imagePullSecrets: [{ name: 'one' }, { name: 'absent' }, { name: 'two' }, { name: 'broken' }, {}] } };
  const auth = Buffer.from('ann:pass:word').toString('base64');

  it('come from both forms of secrets, and others are passed over', () => {
    const secrets: Record<string, Secret> = {
      one: secret({ '.dockerconfigjson': { auths: { 'https://index.docker.io/v1/': { auth }, 'https://r.example:5000/v2/': { username: 'bob', password: 'x', auth: '' }, 'r.example/team/': { identitytoken: 'tok' } } } }),
      two: secret({ '.dockercfg': { 'http://old.example': { username: 'eve', password: 'y' }, 'empty.example': {} } }),
      broken: secret({ '.dockerconfigjson': '{' }),
    };
    expect(podKeyring(pod, (namespace, name) => (namespace === 'web' ? secrets[name] : undefined))).toEqual([
      ['index.docker.io', { username: 'ann', password: 'pass:word' }], ['r.example:5000', { username: 'bob', password: 'x' }], ['r.example/team/', { username: '', password: '', identityToken: 'tok' }],
      ['old.example', { username: 'eve', password: 'y' }],
    ]);
  });

  it('make no sense without a name or a token', () => { expect([authOf({}), authOf({ auth: 'bm9wZQ==' }), authOf({ password: 'x' })]).toEqual([undefined, undefined, undefined]); });
});
