import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EndpointSlice, Service } from '#api/gen/types.ts';
import { endpointSlices, services } from '#api/kinds/resources.ts';
import { systemClock } from '#common/clock.ts';
import type { Exec } from '#common/exec.ts';
import { silentLog } from '#common/log.ts';
import { Ledger } from '#agent/node/ledger.ts';
import { eventually } from '#test/support/lab/eventually.ts';
import type { LabHost } from '#test/support/lab/host.ts';
import { createLab, type Lab } from '#test/support/lab/lab.ts';
import { addPod, serve } from '#test/support/lab/pod-namespaces.ts';
import { MemoryState } from '#test/support/memory-state.ts';
import { chooseBackends } from './choose.ts';
import { Proxy } from './proxy.ts';
import { proxyBackends } from './registry.ts';

const probe = join(import.meta.dirname, '../../test/support/lab/net-probe.ts');
const address = '10.43.0.77';
/** The rules of either flavour of iptables. */
const chains = 'for c in iptables ip6tables; do $c-nft-save; $c-legacy-save; done 2>/dev/null';
/** Prints what a backend has made on a host. */
const traces: Readonly<Record<string, string>> = {
  nftables: 'nft list tables | grep " cleat$" || true',
  iptables: `${chains} | grep CLEAT- | grep -v IPVS- || true`,
  ipvs: `set +e; ipvsadm -S -n 2>/dev/null; ipset list -n 2>/dev/null; ip -br link | grep ipvs; ${chains} | grep IPVS-; grep -s . /proc/sys/net/ipv4/vs/conntrack /proc/sys/net/ipv4/vs/expire_*; true`,
};

/** What of an agent routes Services, until it is stopped. Resolves when they are routed. */
async function start(node: LabHost, state: MemoryState, proxyMode: string): Promise<() => Promise<void>> {
  const stop = new AbortController();
  const exec: Exec = (command, args, { env: _env, cwd: _cwd, ...options } = {}) => node.exec(command, args, options);
  const ledger = new Ledger(join(node.stateDirectory, 'ledger.jsonl'), Date.now);
  const config = { proxyMode, podCidr: '10.42.0.0/16', serviceCidr: '10.43.0.0/16', nodePortAddresses: '', ipvsScheduler: 'rr' };
  const { backend, former } = await chooseBackends({ makers: proxyBackends, ledger, exec, log: silentLog }, config, stop.signal);
  const proxy = new Proxy({
    state, pods: { all: () => [], subscribe: () => () => undefined }, backend, former, events: { emit: () => undefined }, clock: systemClock, log: silentLog, random: Math.random,
  }, { nodeName: 'n', minIntervalMs: 100, checkIntervalMs: 200 });
  const ended = proxy.start(stop.signal);
  await eventually(() => proxy.failure === undefined, { what: proxyMode, timeoutMs: 60_000, explain: () => proxy.failure ?? '' });
  return async () => { stop.abort(); await ended; };
}

/** One host whose agent is started again with another `--proxy-mode` each time, as it is written there: who asks a Service must not notice. */
export function switchingContract(modes: readonly string[]): void {
  describe(`an agent that is started again with other proxy modes: ${modes.join(', ')}`, () => {
    let lab: Lab;
    let node: LabHost;
    const state = new MemoryState();
    const ask = async (count: number): Promise<string[]> => {
      const answers = JSON.parse(await node.execOk('ip', ['netns', 'exec', 'a', 'node', probe, 'ask', 'tcp', address, '80', String(count), '0', '20000'], { timeoutMs: 120_000 })) as string[];
      return [...new Set(answers.map((answer) => answer.split(' ')[0] ?? ''))].sort();
    };
    const show = async (): Promise<ReadonlyMap<string, string>> => new Map(await Promise.all(Object.entries(traces).map(async ([name, script]) => [name, await node.sh(script)] as const)));
    beforeAll(async () => {
      lab = await createLab({ hosts: 1 });
      node = lab.host(0);
      for (const [i, name] of ['a', 'b'].entries()) {
        await addPod(node, name, `10.42.0.${String(2 + i)}`);
        await serve(node, name, 8080, name);
      }
      state.set<Service>(services, { metadata: { namespace: 'default', name: 'web' }, spec: { type: 'NodePort', clusterIP: address, clusterIPs: [address], ipFamilies: ['IPv4'], ports: [{ name: 'http', protocol: 'TCP', port: 80, nodePort: 30080 }] } });
      state.set<EndpointSlice>(endpointSlices, {
        metadata: { namespace: 'default', name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } }, addressType: 'IPv4', ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
        endpoints: [2, 3].map((i) => ({ addresses: [`10.42.0.${String(i)}`], nodeName: 'n', conditions: { ready: true } })),
      });
    });
    afterAll(async () => { await lab?.destroy(); });

    it('answers all the time, keeps what is open, and has nothing left of the mode before', async () => {
      const before = await show();
      let held: ReturnType<LabHost['spawn']> | undefined;
      for (const mode of modes) {
        const asked: Promise<string[]>[] = [];
        let done = held === undefined;
        const asking = (async () => { while (!done) { asked.push(ask(20)); await asked.at(-1); } })();
        const end = await start(node, state, mode);
        await eventually(async () => {
          const now = await show();
          for (const [name, text] of now) if (name !== mode && text !== before.get(name)) throw new Error(`${name} has left ${text}`);
          return true;
        }, { what: 'nothing of the others', timeoutMs: 60_000 });
        done = true;
        await asking;
        for (const answers of await Promise.all(asked)) expect(answers.filter((name) => !['a', 'b'].includes(name)), `on the way to ${mode}`).toEqual([]);
        expect(await ask(20)).toEqual(['a', 'b']);
        expect((await show()).get(mode)).not.toBe(before.get(mode));
        // What IPVS led somewhere is not led on without it.
        if (!modes.includes('ipvs')) expect(held?.output() ?? '').not.toContain('lost');
        held ??= node.spawn('hold', 'ip', ['netns', 'exec', 'b', 'node', probe, 'hold', address, '80']);
        await held.waitForOutput(/^[ab] /);
        await end();
      }
    });
  });
}
