import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Deployment, Pod } from '#api/gen/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { Cluster, graceMs, leaveSoon } from '../support/cluster.ts';
import { eventually } from '../support/lab/eventually.ts';
import { RestClient } from '../support/rest-client.ts';

const image = 'cleat-hello:1';
const deploymentsPath = '/apis/apps/v1/namespaces/default/deployments';
/** With the two seconds that impatient pods stay. */
const lostAfterMs = graceMs + 3500;
const configMapsPath = '/api/v1/namespaces/default/configmaps';

function web(name: string, replicas: number, version = 'one'): Deployment {
  return {
    apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name },
    spec: {
      replicas, selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'c', image, env: [{ name: 'VERSION', value: version }] }] } },
    },
  };
}

/** Numbers that look random and are the same for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What each object may be: one state after an answer, several while answers are lost. Undefined: absent. */
class Ledger {
  readonly #possible = new Map<string, Set<string | undefined>>();
  acknowledged = 0;

  names(): string[] { return [...this.#possible.keys()]; }

  /** Records a write by its answer's status: 0 is an answer that never came. */
  note(name: string, state: string | undefined, status: number): void {
    const possible = this.#possible.get(name) ?? new Set([undefined]);
    if (status === 0) this.#possible.set(name, possible.add(state));
    else if (status < 300 || (status === 404 && state === undefined)) {
      this.acknowledged++;
      this.#possible.set(name, new Set([state]));
    } else if (status !== 429 && status < 500) throw new Error(`write of ${name} was answered with ${String(status)}`);
  }

  /** What is there now, by name, must be possible; it is the truth from here on. */
  check(actual: ReadonlyMap<string, string>): string[] {
    const wrong: string[] = [];
    for (const [name, possible] of this.#possible) {
      const state = actual.get(name);
      if (!possible.has(state)) wrong.push(`${name} is ${state ?? 'absent'}, but was acknowledged as ${[...possible].map((s) => s ?? 'absent').join(' or ')}`);
      this.#possible.set(name, new Set([state]));
    }
    return wrong;
  }
}

/** Lets work pass while it is open. */
class Gate {
  #opened = Promise.withResolvers<undefined>();
  #closed = false;
  readonly #inside = new Set<Promise<void>>();

  async pass(work: () => Promise<void>): Promise<void> {
    if (this.#closed) await this.#opened.promise;
    const done = work();
    this.#inside.add(done);
    await done.finally(() => this.#inside.delete(done));
  }

  /** Resolves when nothing is inside any more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#opened = Promise.withResolvers<undefined>();
    await Promise.all(this.#inside);
  }

  open(): void {
    this.#closed = false;
    this.#opened.resolve(undefined);
  }
}

describe('a control plane and two agents', () => {
  const seed = Number(process.env['CONTROL_PLANE_SEED'] ?? 20_261);
  const rounds = Number(process.env['CONTROL_PLANE_ROUNDS'] ?? 10);
  const random = seeded(seed);
  const pick = (below: number): number => Math.floor(random() * below);
  let cluster: Cluster;
  let api: RestClient;
  const connect = (): RestClient => new RestClient(cluster.controlPlaneHost.path('/etc/cleat/kubeconfig'), cluster.controlPlaneHost.address);

  beforeAll(async () => {
    cluster = await Cluster.create({ agents: 2 });
    await cluster.importImage();
    api = connect();
  });
  afterAll(async () => { api?.close(); await cluster?.destroy(); });

  const pods = async (): Promise<Pod[]> => (await api.send('GET', '/api/v1/namespaces/default/pods')).body.items as Pod[];
  const containers = async (): Promise<string[]> => (await Promise.all([0, 1].map((i) => cluster.runningContainers(cluster.agentHost(i))))).flat().sort();
  const errorsLogged = (): string[] => (cluster.controlPlane?.output() ?? '').split('\n').filter((line) => /"level":(50|60)/.test(line));
  const settled = (counts: Readonly<Record<string, number>>): Promise<Pod[]> => eventually(async () => {
    const all = await pods();
    const total = Object.values(counts).reduce((a, b) => a + b, 0);
    const ready = all.filter(isReady);
    return all.length === total && Object.entries(counts).every(([name, count]) => ready.filter((pod) => pod.metadata?.labels?.['app'] === name).length === count) ? all : false;
  }, { what: `the pods ${JSON.stringify(counts)}`, timeoutMs: 60_000, intervalMs: 100, explain: () => cluster.diagnostics() });

  it(`killed at any time it loses no acknowledged write, starts every time, and settles (seed ${String(seed)})`, async () => {
    const state = { running: true, stop: new AbortController(), newest: 0, relists: 0, frames: 0, errors: [] as string[] };
    const gate = new Gate();
    const seen = (object: KubeObject): number => {
      const version = Number(object.metadata?.resourceVersion ?? 0);
      state.newest = Math.max(state.newest, version);
      return version;
    };
    await api.send('POST', deploymentsPath, web('steady', 4));
    await settled({ steady: 4 });
    const steady = await containers();

    const maps = new Ledger();
    const versions = new Map<string, string>();
    const sizes = new Ledger();
    const mapWriter = async (id: number): Promise<void> => {
      for (let n = 0; state.running; n++) await gate.pass(async () => {
        const name = `map-${String(id)}-${String(pick(8))}`;
        if (pick(4) === 0) {
          maps.note(name, undefined, (await api.send('DELETE', `${configMapsPath}/${name}`)).status);
        } else {
          const value = `${String(id)}/${String(n)}`;
          const body = { metadata: { name, labels: { ledger: 'yes' } }, data: { value } };
          const put = await api.send('PUT', `${configMapsPath}/${name}`, body);
          const answer = put.status === 404 ? await api.send('POST', configMapsPath, body) : put;
          // A lost answer to an earlier write may have made it after all.
          if (answer.status === 409) return;
          if (answer.status === 200 || answer.status === 201) {
            const version = seen(answer.body);
            const before = Number(versions.get(name) ?? 0);
            if (version <= before) state.errors.push(`${name}: version ${String(version)} after ${String(before)}`);
            versions.set(name, String(version));
          }
          maps.note(name, value, answer.status);
        }
        await sleep(pick(8));
      });
    };
    const roller = async (): Promise<void> => {
      while (state.running) await gate.pass(async () => {
        const name = `roll-${String(pick(3))}`;
        const [replicas, version] = [pick(4), `v${String(pick(1000))}`];
        if (pick(6) === 0) {
          sizes.note(name, undefined, (await api.send('DELETE', `${deploymentsPath}/${name}`)).status);
        } else {
          const body = web(name, replicas, version);
          const put = await api.send('PUT', `${deploymentsPath}/${name}`, body);
          const answer = put.status === 404 ? await api.send('POST', deploymentsPath, body) : put;
          if (answer.status !== 409) sizes.note(name, `${String(replicas)} ${version}`, answer.status);
        }
        await sleep(pick(400));
      });
    };
    const mirror = new Map<string, string>();
    const follow = async (): Promise<void> => {
      let version = 0;
      while (!state.stop.signal.aborted) {
        if (version === 0) {
          const list = await api.send('GET', `${configMapsPath}?labelSelector=ledger%3Dyes`);
          if (list.status !== 200) { await sleep(20); continue; }
          state.relists++;
          mirror.clear();
          for (const item of list.body.items ?? []) mirror.set(item.metadata?.name ?? '', valueOf(item));
          version = seen(list.body);
        }
        for await (const { type, object } of api.watch(`${configMapsPath}?watch=1&allowWatchBookmarks=true&labelSelector=ledger%3Dyes&resourceVersion=${String(version)}`, state.stop.signal)) {
          if (type === 'ERROR') {
            if (object.code !== 410) state.errors.push(`watch ended with ${JSON.stringify(object)}`);
            version = 0;
            break;
          }
          const next = seen(object);
          if (next <= version && type !== 'BOOKMARK') state.errors.push(`watch went from ${String(version)} to ${String(next)}`);
          version = next;
          state.frames++;
          if (type === 'DELETED') mirror.delete(object.metadata?.name ?? '');
          else if (type !== 'BOOKMARK') mirror.set(object.metadata?.name ?? '', valueOf(object));
        }
        await sleep(20);
      }
    };

    /** Everything acknowledged is there, nothing else, and versions went on. */
    const verify = async () => {
      const list = await api.send('GET', `${configMapsPath}?labelSelector=ledger%3Dyes`);
      expect(Number(list.body.metadata?.resourceVersion)).toBeGreaterThanOrEqual(state.newest);
      const actual = new Map((list.body.items ?? []).map((item) => [item.metadata?.name ?? '', valueOf(item)]));
      expect(maps.check(actual)).toEqual([]);
      const rolled = (await api.send('GET', deploymentsPath)).body.items as Deployment[];
      expect(sizes.check(new Map(rolled.filter((d) => d.metadata?.name !== 'steady').map((d) => [d.metadata?.name ?? '', stateOf(d)])))).toEqual([]);
      return { actual, rolled };
    };

    const work = [...[0, 1, 2, 3, 4, 5].map((id) => mapWriter(id)), roller(), roller()];
    const following = follow();
    const startedMs: number[] = [];
    for (let round = 0; round < rounds; round++) {
      await sleep(100 + pick(900));
      await cluster.stopControlPlane('SIGKILL');
      await gate.close();
      if (pick(3) === 0) {
        // Killed again while it starts.
        const starting = cluster.startControlPlane().catch(() => undefined);
        await sleep(pick(700));
        await cluster.stopControlPlane('SIGKILL');
        await starting;
      }
      const begunMs = performance.now();
      await cluster.startControlPlane();
      startedMs.push(Math.round(performance.now() - begunMs));
      await verify();
      gate.open();
    }
    await sleep(500);
    state.running = false;
    await Promise.all(work);
    const { actual, rolled } = await verify();
    await eventually(() => isDeepStrictEqual(mirror, actual), { what: 'the watch to have told everything' });
    state.stop.abort();
    await following;
    expect(state.errors).toEqual([]);
    console.log(`seed ${String(seed)}: ${String(rounds)} kills, ${String(maps.acknowledged + sizes.acknowledged)} acknowledged writes, ${String(state.frames)} watch frames, ${String(state.relists)} lists, starts ${startedMs.join(' ')} ms`);

    const counts = { steady: 4, ...Object.fromEntries(rolled.filter((d) => d.metadata?.name !== 'steady').map((d) => [d.metadata?.name ?? '', d.spec?.replicas ?? 1])) };
    await settled(counts);
    await eventually(async () => (await containers()).length === 2 * Object.values(counts).reduce((a, b) => a + b, 0), { what: 'exactly the containers of these pods', timeoutMs: 30_000, explain: () => cluster.diagnostics() });
    expect(await containers()).toEqual(expect.arrayContaining(steady));
    for (const name of Object.keys(counts)) {
      const { body } = await api.send('GET', `/apis/apps/v1/namespaces/default/replicasets?labelSelector=app%3D${name}`);
      expect(body.items?.filter((set) => ((set as { spec?: { replicas?: number } }).spec?.replicas ?? 0) > 0).length).toBeLessThanOrEqual(1);
    }
    expect(errorsLogged()).toEqual([]);
    for (const name of Object.keys(counts)) await api.send('DELETE', `${deploymentsPath}/${name}`);
    await settled({});
  });

  it('leaves everything as it is while links flap, all hosts are cut off, and it is stopped or killed meanwhile', async () => {
    await api.send('POST', deploymentsPath, impatient('held', 4));
    const before = uids(await settled({ held: 4 }));
    const running = await containers();
    const unchanged = async (): Promise<void> => {
      const all = await pods();
      const replaced = all.filter((pod) => !before.has(pod.metadata?.uid) || pod.metadata?.deletionTimestamp !== undefined).map((pod) => pod.metadata?.name);
      if (replaced.length > 0 || all.length !== 4) throw new Error(`replaced: ${replaced.join(' ')}\n${await cluster.diagnostics()}`);
    };
    const hosts = [cluster.agentHost(0), cluster.agentHost(1)];
    for (let i = 0; i < 8; i++) {
      await hosts[i % 2]?.disconnect();
      await sleep(100 + 100 * i);
      await hosts[i % 2]?.reconnect();
      await sleep(200);
    }
    await cluster.waitForNodes();
    await unchanged();
    const pid = await cluster.controlPlane!.pid();
    process.kill(pid, 'SIGSTOP');
    await sleep(lostAfterMs + 2000);
    // What brought it into its host stops and continues with it.
    for (const stopped of [parentOf(pid), pid]) process.kill(stopped, 'SIGCONT');
    await sleep(1000);
    await cluster.waitForNodes();
    await unchanged();
    expect(await containers()).toEqual(running);
    await Promise.all(hosts.map((host) => host.disconnect()));
    await sleep(lostAfterMs);
    await unchanged();
    await cluster.stopControlPlane('SIGKILL');
    await cluster.startControlPlane();
    await sleep(lostAfterMs);
    await unchanged();
    await Promise.all(hosts.map((host) => host.reconnect()));
    await cluster.waitForNodes();
    // The first host to return keeps its pods. The other has the grace period to follow, which is short here.
    expect((await settled({ held: 4 })).filter((pod) => before.has(pod.metadata?.uid)).length).toBeGreaterThanOrEqual(2);
    await api.send('PUT', `${deploymentsPath}/held`, impatient('held', 8));
    await settled({ held: 8 });
  });

  it('gives a lost host the full grace period when it was down itself, then replaces its pods', async () => {
    const lost = cluster.agentHost(1);
    const onLost = (await settled({ held: 8 })).filter((pod) => pod.spec?.nodeName === lost.name).length;
    expect(onLost).toBeGreaterThan(0);
    await cluster.stopControlPlane('SIGKILL');
    await lost.disconnect();
    // Shorter than it takes the other agent to dial less often than every few seconds.
    await sleep(1500);
    const startedMs = performance.now();
    await cluster.startControlPlane();
    const replaced = async (): Promise<boolean> => (await pods()).some((pod) => pod.metadata?.deletionTimestamp !== undefined);
    await eventually(replaced, { what: 'the first eviction', timeoutMs: 40_000, intervalMs: 50 });
    expect(performance.now() - startedMs).toBeGreaterThan(graceMs);
    await eventually(async () => (await pods()).filter((pod) => isReady(pod) && pod.spec?.nodeName !== lost.name).length === 8, { what: 'the replacements', timeoutMs: 20_000, explain: () => cluster.diagnostics() });
    await lost.reconnect();
    await cluster.waitForNodes();
    await settled({ held: 8 });
    await eventually(async () => (await cluster.runningContainers(lost)).length === 0, { what: 'the old copies to go', timeoutMs: 20_000 });
  });

  it('lets a Node go that is deleted, and takes the host back when its agent starts again', async () => {
    const name = cluster.agentHost(0).name;
    await api.send('DELETE', `/api/v1/nodes/${name}`);
    await eventually(async () => (await pods()).filter((pod) => isReady(pod) && pod.spec?.nodeName !== name).length === 8, { what: 'the replacements', timeoutMs: 30_000, explain: () => cluster.diagnostics() });
    expect((await api.send('GET', `/api/v1/nodes/${name}`)).status).toBe(404);
    await eventually(async () => (await cluster.runningContainers(cluster.agentHost(0))).length === 0, { what: 'its containers to go', timeoutMs: 20_000, explain: () => cluster.diagnostics() });
    await cluster.stopAgent(0);
    cluster.startAgent(0);
    await cluster.waitForNodes();
    await api.send('PUT', `${deploymentsPath}/held`, impatient('held', 16));
    expect(new Set((await settled({ held: 16 })).map((pod) => pod.spec?.nodeName)).size).toBe(2);
    expect(errorsLogged()).toEqual([]);
  });
});

function parentOf(pid: number): number {
  return Number(readFileSync(`/proc/${String(pid)}/stat`, 'utf8').split(') ')[1]?.split(' ')[1]);
}

/** Its pods leave a lost host after two seconds. */
function impatient(name: string, replicas: number): Deployment {
  const deployment = web(name, replicas);
  Object.assign(deployment.spec!.template.spec!, { tolerations: leaveSoon });
  return deployment;
}

function uids(pods: readonly Pod[]): Set<string | undefined> {
  return new Set(pods.map((pod) => pod.metadata?.uid));
}

function isReady(pod: Pod): boolean {
  return pod.metadata?.deletionTimestamp === undefined && pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
}

function valueOf(object: KubeObject): string {
  return (object as { data?: { value?: string } }).data?.value ?? '';
}

function stateOf(object: KubeObject): string {
  const { spec } = object as Deployment;
  return `${String(spec?.replicas)} ${spec?.template.spec?.containers[0]?.env?.[0]?.value ?? ''}`;
}
