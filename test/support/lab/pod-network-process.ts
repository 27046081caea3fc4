/**
 * Runs PodNetwork in a host with Nodes from a JSON file, read again on SIGHUP; for its contract test.
 * What it would tell the control plane of itself goes to NODES-FILE.NODE-NAME; SIGUSR1 and SIGUSR2 print its status and
 * the result of a check.
 * usage: pod-network-process.ts NODE-NAME STATE-DIRECTORY NODES-FILE [MODE]
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Node } from '#api/gen/types.ts';
import { nodes } from '#api/kinds/resources.ts';
import { systemClock } from '#common/clock.ts';
import { createLog } from '#common/log.ts';
import { PodNetwork } from '#agent/network/pod-network.ts';
import { networkModes, type NetworkMode } from '#agent/network/types.ts';
import { Ledger } from '#agent/node/ledger.ts';
import { MemoryState } from '../memory-state.ts';

const [nodeName = '', stateDirectory = '', file = '', mode = 'auto'] = process.argv.slice(2);
const state = new MemoryState();
const load = (): void => {
  const wanted = JSON.parse(readFileSync(file, 'utf8')) as Node[];
  state.apply([
    ...state.list(nodes).filter((n) => !wanted.some((w) => w.metadata?.name === n.metadata?.name))
      .map((n) => ({ type: 'remove' as const, resource: nodes, namespace: undefined, name: n.metadata?.name ?? '' })),
    ...wanted.map((object) => ({ type: 'set' as const, resource: nodes, object })),
  ]);
};
const modeOf = (text: string): NetworkMode => networkModes.find((known) => known === text) ?? 'auto';
const log = createLog('debug');
const network = new PodNetwork(
  { state, events: { emit: (event) => { log.info(event, 'event'); } }, log, clock: systemClock, random: Math.random, ledger: new Ledger(join(stateDirectory, 'ledger.jsonl'), () => Date.now()) },
  { nodeName, stateDirectory, serviceCidrs: ['10.43.0.0/16'], mode: modeOf(mode), routeProtocol: 142, checkIntervalMs: 300 },
);
const signal = new AbortController().signal;
network.subscribe(() => {
  writeFileSync(`${file}.${nodeName}`, JSON.stringify(network.annotations));
  log.info({ notReady: network.notReady }, network.notReady === undefined ? 'ready' : 'not ready');
});
process.on('SIGHUP', load);
process.on('SIGUSR1', () => { void network.status(signal).then((status) => { log.info(status, 'status'); }); });
process.on('SIGUSR2', () => { void network.check(signal).then((findings) => { log.info({ findings }, 'checked'); }); });
network.onMoved(() => { log.info({}, 'moved'); });
load();
setInterval(() => undefined, 1 << 30);
await network.start(signal);
