import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import { TestServer } from '../test-server.ts';

let server: TestServer;
beforeAll(async () => { server = await TestServer.start(); });
afterAll(async () => { await server.stop(); });

const annotations = (values: Record<string, string>): Record<string, string> => Object.fromEntries(Object.entries(values).map(([key, value]) => [`cleat.dev/disconnect-${key}`, value]));
const spec = { containers: [{ name: 'a', image: 'i' }] };
async function namespace(name: string, policy: Record<string, string>): Promise<string> {
  expect((await server.ask('/api/v1/namespaces', { method: 'POST', body: { metadata: { name, annotations: annotations(policy) } } })).status).toBe(201);
  await server.ask(`/api/v1/namespaces/${name}/serviceaccounts`, { method: 'POST', body: { metadata: { name: 'default' } } });
  return `/api/v1/namespaces/${name}/pods`;
}
const post = (path: string, name: string, policy: Record<string, string>, more: object = {}) => server.ask(path, { method: 'POST', body: { metadata: { name, annotations: annotations(policy) }, spec: { ...spec, ...more } } });
const message = (answer: { json<T>(): T }): string => answer.json<{ message: string }>().message;

describe('disconnect policies', () => {
  it('come from the namespace, unless the pod has a word of its own', async () => {
    const path = await namespace('edge', { policy: 'replace', copies: 'one' });
    expect((await post(path, 'plain', {})).json<Pod>().metadata?.annotations).toEqual(annotations({ policy: 'replace', copies: 'one' }));
    expect((await post(path, 'own', { policy: 'keep' })).json<Pod>().metadata?.annotations).toEqual(annotations({ policy: 'keep' }));
  });

  it('are refused when they make no sense, in pods, namespaces and templates', async () => {
    const path = await namespace('bad', {});
    expect(message(await post(path, 'x', { policy: 'never' }))).toBe('Pod "x" is invalid: metadata.annotations[cleat.dev/disconnect-policy]: Invalid value: "never": must be "keep" or "replace"');
    expect((await server.ask('/api/v1/namespaces', { method: 'POST', body: { metadata: { name: 'worse', annotations: annotations({ copies: 'one' }) } } })).status).toBe(422);
    const template = { metadata: { labels: { a: 'b' }, annotations: annotations({ policy: 'replace', 'replace-after': 'soon' }) }, spec };
    const deployment = await server.ask('/apis/apps/v1/namespaces/bad/deployments', { method: 'POST', body: { metadata: { name: 'd' }, spec: { selector: { matchLabels: { a: 'b' } }, template } } });
    expect(message(deployment)).toContain('spec.template.metadata.annotations[cleat.dev/disconnect-replace-after]: Invalid value: "soon"');
  });

  it('stay as they are once a pod is bound', async () => {
    const path = await namespace('bound', {});
    const change = { metadata: { annotations: annotations({ policy: 'keep' }) } };
    const patch = (name: string) => server.ask(`${path}/${name}`, { method: 'PATCH', body: change, headers: { 'content-type': 'application/merge-patch+json' } });
    await post(path, 'free', {});
    expect((await patch('free')).status).toBe(200);
    await post(path, 'tied', {}, { nodeName: 'n' });
    expect(message(await patch('tied'))).toContain('may not change once the pod is bound');
    const other = await server.ask(`${path}/tied`, { method: 'PATCH', body: { metadata: { annotations: { other: 'x' } } }, headers: { 'content-type': 'application/merge-patch+json' } });
    expect(other.status).toBe(200);
  });
});
