import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster } from '../support/cluster.ts';
import { eventually } from '../support/lab/eventually.ts';

interface Status { readonly rotating: boolean; readonly certificates: readonly { name: string; fingerprint: string }[]; readonly nodes: readonly { name: string; connected: boolean; current: boolean }[] }

/** A new CA in a cluster that goes on: processes, agents and users of before are known throughout. */
describe('certificates', () => {
  let cluster: Cluster;
  const status = async (): Promise<Status> => JSON.parse(await cluster.cleat(['certs', 'status', '-o', 'json'])) as Status;
  const pidOfControlPlane = (): Promise<number> | undefined => cluster.controlPlane?.pid();

  beforeAll(async () => { cluster = await Cluster.create({ agents: 2 }); });
  afterAll(async () => { await cluster?.destroy(); });

  it('are rotated in the process that runs, with an overlap of the CAs, and the old one is let go when nobody needs it', async () => {
    const pid = await pidOfControlPlane();
    await cluster.controlPlaneHost.sh('cp /etc/cleat/kubeconfig /etc/cleat/kubeconfig.before');
    const before = await status();
    expect(before).toMatchObject({ rotating: false, nodes: [{ connected: true, current: true }, { connected: true, current: true }] });
    await cluster.stopAgent(1);

    expect(await cluster.cleat(['certs', 'rotate', '--ca'], { timeoutMs: 60_000 })).toContain('There is a new CA');
    await eventually(async () => (await status()).nodes[0]?.current === true, { what: 'the agent to renew', timeoutMs: 60_000, intervalMs: 200, explain: () => cluster.diagnostics() });
    expect((await status()).nodes.map(({ current }) => current)).toEqual([true, false]);
    // A user and a token of before.
    await cluster.kubectl(['--kubeconfig=/etc/cleat/kubeconfig.before', 'get', 'nodes']);
    const refused = await cluster.controlPlaneHost.exec(join(import.meta.dirname, '../../cleat'), ['certs', 'rotate', '--ca', '--finish'], { env: { KUBECONFIG: '/etc/cleat/kubeconfig' } });
    expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/has no certificate of the new CA yet.*--force/s) as string });

    cluster.startAgent(1);
    await eventually(async () => (await status()).nodes.every(({ current, connected }) => current && connected), { what: 'both agents to have new certificates', timeoutMs: 60_000, intervalMs: 200, explain: () => cluster.diagnostics() });
    expect(await cluster.cleat(['certs', 'rotate', '--ca', '--finish'], { timeoutMs: 60_000 })).toContain('The old CA is gone');
    const after = await status();
    expect(after.rotating).toBe(false);
    expect(after.certificates.find(({ name }) => name === 'ca')?.fingerprint).not.toBe(before.certificates.find(({ name }) => name === 'ca')?.fingerprint);
    expect((await cluster.kubectlResult(['--kubeconfig=/etc/cleat/kubeconfig.before', 'get', 'nodes'])).exitCode).toBe(1);
    await cluster.waitForNodes();
    expect(await pidOfControlPlane()).toBe(pid);
    // Certificates alone.
    expect(await cluster.cleat(['certs', 'rotate'], { timeoutMs: 60_000 })).toContain('new certificates');
    expect((await status()).certificates.find(({ name }) => name === 'server')?.fingerprint).not.toBe(after.certificates.find(({ name }) => name === 'server')?.fingerprint);
    expect(await cluster.cleat(['certs'])).toMatch(/^NAME +SUBJECT +EXPIRES/);
    await cluster.waitForNodes();
  });
});
