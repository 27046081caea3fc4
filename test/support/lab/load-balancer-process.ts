/**
 * Runs the speaker of a host with objects from a JSON file ({nodes, services, slices, secrets}), read again on SIGHUP;
 * for its contract test. Prints each Event as a line of JSON.
 * usage: load-balancer-process.ts NODE-NAME STATE-DIRECTORY OBJECTS-FILE
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EndpointSlice, Node, Secret, Service } from '#api/gen/types.ts';
import { endpointSlices, nodes, secrets, services } from '#api/kinds/resources.ts';
import { systemClock } from '#common/clock.ts';
import { createLog } from '#common/log.ts';
import { LoadBalancerAddresses } from '#agent/announce/load-balancer.ts';
import { Ledger } from '#agent/node/ledger.ts';
import { MemoryState } from '../memory-state.ts';

const [nodeName = '', stateDirectory = '', file = ''] = process.argv.slice(2);
const state = new MemoryState();
const load = (): void => {
  const objects = JSON.parse(readFileSync(file, 'utf8')) as { nodes: Node[]; services: Service[]; slices: EndpointSlice[]; secrets: Secret[] };
  state.set(nodes, ...objects.nodes);
  state.set(endpointSlices, ...objects.slices);
  state.set(secrets, ...objects.secrets);
  state.set(services, ...objects.services);
};
process.on('SIGHUP', load);
load();
const stop = new AbortController();
process.on('SIGTERM', () => { stop.abort(new Error('told to')); });
const part = new LoadBalancerAddresses({
  state, problem: () => undefined, ledger: new Ledger(join(stateDirectory, 'ledger.jsonl'), () => Date.now()), clock: systemClock, log: createLog('info'), random: Math.random,
  events: { emit: ({ reason, message }) => { console.log(JSON.stringify({ reason, message })); } },
}, { nodeName });
console.log('started');
const idle = setInterval(() => undefined, 60_000);
await part.start(stop.signal);
clearInterval(idle);
