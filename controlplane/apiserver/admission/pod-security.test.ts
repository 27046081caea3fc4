import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestServer, type Answer } from '../test-server.ts';

let server: TestServer;
beforeAll(async () => { server = await TestServer.start(); });
afterAll(async () => { await server.stop(); });

let count = 0;
async function namespace(labels: Record<string, string>): Promise<string> {
  const name = `ns-${String(++count)}`;
  const answer = await server.ask('/api/v1/namespaces', { method: 'POST', body: { metadata: { name, labels: labelled(labels) } } });
  expect(answer.status).toBe(201);
  await server.ask(`/api/v1/namespaces/${name}/serviceaccounts`, { method: 'POST', body: { metadata: { name: 'default' } } });
  return name;
}
const labelled = (labels: Record<string, string>): Record<string, string> => Object.fromEntries(Object.entries(labels).map(([key, value]) => [`pod-security.kubernetes.io/${key}`, value]));
const post = (path: string, spec: object): Promise<Answer> => server.ask(path, { method: 'POST', body: { metadata: { name: `x-${String(++count)}`, labels: { a: 'b' } }, spec } });
const warnings = ({ headers }: Answer): string[] => [headers['warning'] ?? []].flat().flatMap((text) => text.split(/, (?=299 - ")/)).map((text) => text.replace(/^299 - "/, '').slice(0, -1).replaceAll('\\"', '"'));
const bad = { containers: [{ name: 'a', image: 'i', securityContext: { privileged: true } }] };

describe('pod security', () => {
  it('refuses what the enforced level forbids, and warns of what the warned level does', async () => {
    const ns = await namespace({ enforce: 'baseline', warn: 'restricted', 'warn-version': 'v1.18' });
    const refused = await post(`/api/v1/namespaces/${ns}/pods`, bad);
    expect(refused.json()).toMatchObject({ code: 403, message: expect.stringContaining('is forbidden: violates PodSecurity "baseline:latest": privileged (container "a" must not set securityContext.privileged=true)') as string });
    const made = await post(`/api/v1/namespaces/${ns}/pods`, { containers: [{ name: 'a', image: 'i' }] });
    expect(made.status).toBe(201);
    expect(warnings(made)).toEqual([expect.stringContaining('would violate PodSecurity "restricted:v1.18": allowPrivilegeEscalation != false') as string]);
    const job = await post(`/apis/apps/v1/namespaces/${ns}/deployments`, { selector: { matchLabels: { a: 'b' } }, template: { metadata: { labels: { a: 'b' } }, spec: bad } });
    expect([job.status, warnings(job).length]).toEqual([201, 1]);
  });

  it('lets everything pass where no label says otherwise', async () => {
    expect((await post(`/api/v1/namespaces/${await namespace({})}/pods`, { ...bad, hostPID: true })).status).toBe(201);
  });

  it('checks the labels, and tells who becomes stricter of pods that would not come back', async () => {
    const wrong = await server.ask('/api/v1/namespaces', { method: 'POST', body: { metadata: { name: 'wrong', labels: labelled({ enforce: 'strict', 'warn-version': '1.2' }) } } });
    expect(wrong.json<{ message: string }>().message).toBe('Namespace "wrong" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted, metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: "1.2": must be "latest" or "v1.x"]');
    const ns = await namespace({});
    const first = (await post(`/api/v1/namespaces/${ns}/pods`, bad)).json<{ metadata: { name: string } }>().metadata.name;
    await post(`/api/v1/namespaces/${ns}/pods`, bad);
    const stricter = await server.ask(`/api/v1/namespaces/${ns}`, { method: 'PATCH', body: { metadata: { labels: labelled({ enforce: 'baseline' }) } }, headers: { 'content-type': 'application/merge-patch+json' } });
    expect(warnings(stricter)).toEqual([`existing pods in namespace "${ns}" violate the new PodSecurity enforce level "baseline:latest"`, `${first} (and 1 other pod): privileged`]);
  });
});
