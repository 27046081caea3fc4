import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exec } from '#common/exec.ts';
import { Cluster } from '../support/cluster.ts';

/** The official Python client as Debian packages it (python3-kubernetes), by Debian's Python. No pods run: no agent is needed. */
describe('python3-kubernetes', () => {
  let cluster: Cluster;
  beforeAll(async () => { cluster = await Cluster.create({ agents: 0 }); });
  afterAll(async () => { await cluster?.destroy(); });

  it('creates, patches, lists, watches and deletes, with types and without', async () => {
    const script = join(import.meta.dirname, 'python-client.py');
    const done = await exec('/usr/bin/python3', ['-u', script, cluster.controlPlaneHost.path('/etc/cleat/kubeconfig'), cluster.server], { timeoutMs: 120_000 });
    expect(done.stdout + done.stderr).toMatch(/all is well\n$/);
  });
});
