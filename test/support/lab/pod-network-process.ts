/**
 * Runs PodNetwork in a host with Nodes from a JSON file, read again on SIGHUP; for its contract test.
 * usage: pod-network-process.ts NODE-NAME STATE-DIRECTORY NODES-FILE
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Node } from '#api/gen/types.ts';
import { nodes } from '#api/kinds/resources.ts';
import { systemClock } from '#common/clock.ts';
import { createLog } from '#common/log.ts';
import { PodNetwork } from '#agent/network/pod-network.ts';
import { Ledger } from '#agent/node/ledger.ts';
import { MemoryState } from '../memory-state.ts';

const [nodeName = '', stateDirectory = '', file = ''] = process.argv.slice(2);
const state = new MemoryState();
const load = (): void => {
  const wanted = JSON.parse(readFileSync(file, 'utf8')) as Node[];
  state.apply([
    ...state.list(nodes).filter((n) => !wanted.some((w) => w.metadata?.name === n.metadata?.name))
      .map((n) => ({ type: 'remove' as const, resource: nodes, namespace: undefined, name: n.metadata?.name ?? '' })),
    ...wanted.map((object) => ({ type: 'set' as const, resource: nodes, object })),
  ]);
};
const log = createLog('debug');
const network = new PodNetwork(
  { state, log, clock: systemClock, random: Math.random, ledger: new Ledger(join(stateDirectory, 'ledger.jsonl'), () => Date.now()) },
  { nodeName, stateDirectory, serviceCidrs: ['10.43.0.0/16'], routeProtocol: 142, checkIntervalMs: 300 },
);
network.subscribe(() => { log.info({ notReady: network.notReady }, network.notReady === undefined ? 'ready' : 'not ready'); });
process.on('SIGHUP', load);
load();
setInterval(() => undefined, 1 << 30);
await network.start(new AbortController().signal);
