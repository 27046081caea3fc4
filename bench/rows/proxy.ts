import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exec, execOk, type ExecOptions } from '#common/exec.ts';
import { silentLog } from '#common/log.ts';
import { NftablesBackend } from '#agent/proxy/backends/nftables/backend.ts';
import { TableRules } from '#agent/proxy/backends/nftables/table-rules.ts';
import type { ServicePort } from '#agent/proxy/types.ts';
import { createLab } from '#test/support/lab/lab.ts';
import { median, type Row } from '../row.ts';

const config = { tableName: 'cleat', podCidrs: ['10.42.0.0/16'], serviceCidrs: ['10.43.0.0/16'] };
const signal = new AbortController().signal;

/** Service rules in a network namespace of their own, beside nft alone with the same text; about 10 seconds. Needs root. */
export async function run(): Promise<Row[]> {
  const lab = await createLab({ hosts: 1 });
  try {
    const enter = ['-t', String(lab.host(0).pid), '-n'];
    const inHost = async (command: string, args: readonly string[], options?: ExecOptions) => exec('nsenter', [...enter, command, ...args], options);
    const file = join(lab.directory, 'rules.nft');
    const nft = async (text: string): Promise<void> => {
      writeFileSync(file, text);
      await execOk('nsenter', [...enter, 'nft', '-f', file]);
    };
    const backend = new NftablesBackend({ exec: inHost, log: silentLog, record: async () => Promise.resolve() }, config);
    const ports = Array.from({ length: 1000 }, (_, i) => servicePort(i, 10));

    const load: { ours: number; raw: number }[] = [];
    const whole = new TableRules('ip', config).replace(ports);
    for (let i = 0; i < 5; i++) {
      load.push({
        raw: await timed(() => nft(whole)),
        ours: await timed(() => backend.replace(ports, signal)),
      });
    }
    const change: { ours: number; raw: number }[] = [];
    for (let i = 0; i < 20; i++) {
      const rules = new TableRules('ip', config);
      rules.replace(ports);
      const text = rules.apply({ set: [servicePort(i, 8)], removed: [] });
      change.push({
        raw: await timed(() => nft(text)),
        ours: await timed(() => backend.apply({ set: [servicePort(i, 9)], removed: [] }, signal)),
      });
    }
    return [
      row('proxy: replace all rules of 1,000 Services × 10 endpoints', load, 1.25),
      row('proxy: one change of endpoints among 1,000 Services', change, 1.5),
    ];
  } finally {
    await lab.destroy();
  }
}

function row(name: string, times: readonly { ours: number; raw: number }[], bound: number): Row {
  const round = (ms: number): number => Math.round(ms * 10) / 10;
  return {
    name, unit: 'ms', value: round(median(times.map((t) => t.ours))),
    peer: { name: 'nft -f of the same text', value: round(median(times.map((t) => t.raw))) },
    budget: { at: 'most', of: 'ratio', bound },
  };
}

function servicePort(i: number, endpoints: number): ServicePort {
  return {
    id: `default/web-${String(i)}:http`, protocol: 'TCP', clusterIps: [`10.43.${String(i >> 8)}.${String(i & 255)}`], externalIps: [], loadBalancerIps: [],
    port: 80, nodePort: 0, affinitySeconds: 0, internalLocal: false, externalLocal: false, localEndpoints: [],
    endpoints: Array.from({ length: endpoints }, (_, e) => ({ ip: `10.42.${String(i & 255)}.${String(e + 2)}`, port: 8080, local: false })),
  };
}

async function timed(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}
