import { join } from 'node:path';
import { exec, type ExecOptions } from '#common/exec.ts';
import { silentLog } from '#common/log.ts';
import { proxyBackends } from '#agent/proxy/registry.ts';
import type { ProxyBackend, ServicePort } from '#agent/proxy/types.ts';
import { createLab } from '#test/support/lab/lab.ts';
import type { LabHost } from '#test/support/lab/host.ts';
import { median, type Row } from './row.ts';

const config = { tableName: 'cleat', podCidrs: ['10.42.0.0/16'], serviceCidrs: ['10.43.0.0/16'] };
const endpoints = 10;
const signal = new AbortController().signal;
const probe = join(import.meta.dirname, '../test/support/lab/net-probe.ts');
const connector = join(import.meta.dirname, 'proxy-process.ts');

/** A command that changed something: what it was given on standard input, and how long it took. */
interface Batch { readonly command: string; readonly args: readonly string[]; readonly input: string; readonly ms: number }

/**
 * One backend on a host of the lab: everything from nothing and one change, for each number of Services, beside the same commands
 * with the same text alone; and new connections to a pod through its Service, beside the same to its address.
 */
export async function* measureBackend(name: string, counts: readonly number[]): AsyncIterable<Row> {
  const lab = await createLab({ hosts: 1 });
  try {
    const enter = ['-t', String(lab.host(0).pid), '-n'];
    const batches: Batch[] = [];
    const inHost = async (command: string, args: readonly string[], options: ExecOptions = {}) => {
      const start = performance.now();
      const result = await exec('nsenter', [...enter, command, ...args], options);
      if (typeof options.input === 'string') batches.push({ command, args, input: options.input, ms: performance.now() - start });
      return result;
    };
    const make = proxyBackends[name];
    if (!make) throw new Error(`there is no backend ${name}`);
    const backend = await make({ exec: inHost, log: silentLog, record: async () => Promise.resolve() }, config);
    const replay = async (): Promise<void> => {
      for (const { command, args, input } of batches) {
        const { exitCode, stderr } = await exec('nsenter', [...enter, command, ...args], { input, timeoutMs: 600_000 });
        if (exitCode !== 0) throw new Error(`${command}: ${stderr}`);
      }
    };
    let fewest: number | undefined;
    for (const count of counts) {
      yield* await load(name, backend, count, batches, replay);
      const row = await change(name, backend, count, batches);
      yield fewest === undefined ? row : { ...row, peer: { name: `among ${String(counts[0])}`, value: fewest } };
      fewest ??= row.value;
    }
    await backend.cleanup(signal);
    yield* await connections(name, backend, lab.host(0));
  } finally {
    await lab.destroy();
  }
}

async function load(name: string, backend: ProxyBackend, count: number, batches: Batch[], replay: () => Promise<void>): Promise<Row[]> {
  const ports = Array.from({ length: count }, (_, i) => servicePort(i, endpoints));
  const times: { ours: number; raw: number; cpu: number }[] = [];
  for (let round = 0; round < 3; round++) {
    await backend.cleanup(signal);
    batches.length = 0;
    const before = process.cpuUsage();
    const ours = await timed(() => backend.replace(ports, signal));
    const cpu = process.cpuUsage(before);
    const written = [...batches];
    await backend.cleanup(signal);
    batches.splice(0, batches.length, ...written);
    times.push({ ours, cpu: (cpu.user + cpu.system) / 1000, raw: await timed(replay) });
  }
  await backend.replace(ports, signal);
  return [{
    name: `proxy, ${name}: ${count.toLocaleString('en')} Services × ${String(endpoints)} endpoints from nothing`, unit: 'ms', value: round(median(times.map((t) => t.ours))),
    peer: { name: `${[...new Set(batches.map(({ command }) => command))].join(', ')} with the same text`, value: round(median(times.map((t) => t.raw))) },
    // IPVS takes four kinds of commands, and three that look at what is there: with a few Services the time is that of their starts.
    ...((count >= 1000 || name !== 'ipvs') && { budget: { at: 'most', of: 'ratio', bound: 1.3 } as const }),
    note: `${String(Math.round(median(times.map((t) => t.cpu))))} ms of them the agent's own CPU; memory ${String(Math.round(process.memoryUsage().rss / 1e6))} MB RSS of this process`,
  }];
}

async function change(name: string, backend: ProxyBackend, count: number, batches: Batch[]): Promise<Row> {
  const times: number[] = [];
  batches.length = 0;
  for (let i = 0; i < 10; i++) times.push(await timed(() => backend.apply({ set: [servicePort(i, endpoints - 1)], removed: [] }, signal)));
  return {
    name: `proxy, ${name}: one change of endpoints among ${count.toLocaleString('en')} Services, until the kernel has it`, unit: 'ms', value: round(median(times)),
    ...(name !== 'iptables' && { budget: { at: 'most', of: 'value', bound: 50 } as const }),
    note: `${mean(batches.map(({ input }) => input.length), times.length)} bytes for the kernel; ${mean(batches.map(({ ms }) => ms), times.length)} ms are those of ${[...new Set(batches.map(({ command }) => command))].join(', ')}`,
  };
}

/** From one pod to another, a new connection for each question. */
async function connections(name: string, backend: ProxyBackend, host: LabHost): Promise<Row[]> {
  await host.sh('echo 1 > /proc/sys/net/ipv4/ip_forward');
  for (const [i, pod] of ['a', 'b'].entries()) {
    const ip = `10.42.0.${String(2 + i)}`;
    await host.sh(`ip netns add ${pod}; ip link add v${pod} type veth peer name eth0 netns ${pod}
      ip addr add 10.42.0.1/32 dev v${pod}; ip link set v${pod} up; ip route add ${ip} dev v${pod}
      ip -n ${pod} addr add ${ip}/32 dev eth0; ip -n ${pod} link set eth0 up; ip -n ${pod} route add 10.42.0.1 dev eth0; ip -n ${pod} route add default via 10.42.0.1`);
  }
  await host.spawn('serve', 'ip', ['netns', 'exec', 'a', 'node', probe, 'serve', 'a', '8080']).waitForOutput('ready');
  await backend.replace([{ ...servicePort(0, 1), clusterIps: ['10.43.0.77'], endpoints: [{ ip: '10.42.0.2', port: 8080, local: true }] }], signal);
  const ask = async (address: string, port: number): Promise<{ p50: number; perSecond: number }> =>
    JSON.parse(await host.execOk('ip', ['netns', 'exec', 'b', 'node', connector, 'connect', address, String(port), '2000'])) as { p50: number; perSecond: number };
  await ask('10.42.0.2', 8080);
  const [direct, through] = [await ask('10.42.0.2', 8080), await ask('10.43.0.77', 80)];
  return [
    { name: `proxy, ${name}: a new connection and an answer through a Service, median`, unit: 'ms', value: through.p50, peer: { name: 'by the address of the pod', value: direct.p50 } },
    { name: `proxy, ${name}: new connections through a Service, eight at a time`, unit: '/s', value: through.perSecond, peer: { name: 'by the address of the pod', value: direct.perSecond } },
  ];
}

function servicePort(i: number, many: number): ServicePort {
  return {
    id: `default/web-${String(i)}:http`, protocol: 'TCP', clusterIps: [`10.43.${String((i >> 8) + 1)}.${String(i & 255)}`], externalIps: [], loadBalancerIps: [],
    port: 80, nodePort: 0, affinitySeconds: 0, internalLocal: false, externalLocal: false, localEndpoints: [],
    endpoints: Array.from({ length: many }, (_, e) => ({ ip: `10.42.${String(i & 255)}.${String(e + 2)}`, port: 8080, local: false })),
  };
}

async function timed(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function mean(values: readonly number[], count: number): string {
  return String(Math.round(values.reduce((sum, value) => sum + value, 0) / count));
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
