import type { Row, RunOptions } from '../row.ts';
import { measure, shapes, type Measured, type Shape } from '../scheduler-process.ts';

const clusterSizes = [100, 1000, 5000] as const;

/**
 * Pods per second of one core from the queue to a binding that is on disk, in the shapes of Kubernetes' scheduler_perf.
 * Store, API, informers and scheduler share that core: it is their CPU time that counts, so that a busy machine measures
 * the same. The floor binds the same pods without choosing nodes.
 */
export async function* run({ quick }: RunOptions): AsyncGenerator<Row> {
  const costs = new Map<number, number>();
  for (const shape of shapes) {
    for (const nodes of clusterSizes) {
      const pods = podsOf(shape, nodes, quick);
      const measured = await measure({ shape, nodes, pods, bare: false });
      if (shape === 'basic') costs.set(nodes, measured.cpuSeconds / pods);
      const peer = shape === 'basic' && nodes === 1000 ? { name: 'bindings alone', value: rateOf(pods, await measure({ shape, nodes, pods, bare: true })) } : undefined;
      yield {
        name: `scheduler: ${shape} at ${nodes.toLocaleString('en')} nodes on one core, on disk`, value: rateOf(pods, measured), unit: 'pods/s', note: noteOf(pods, measured),
        ...(peer && { peer }), ...floorOf(shape, nodes),
      };
    }
  }
  const ratio = (costs.get(5000) ?? NaN) / (costs.get(100) ?? NaN);
  yield { name: 'scheduler: CPU per pod at 5,000 nodes, against 100', value: Math.round(ratio * 100) / 100, unit: '×', budget: { at: 'most', of: 'value', bound: 5 } };
}

/** The goal is for 1,000 nodes; what is well below it elsewhere would be a step back. */
function floorOf(shape: Shape, nodes: number): Pick<Row, 'budget'> {
  const floors: Readonly<Record<Shape, readonly number[]>> = {
    basic: [1500, 1500, 1000], 'pod affinity': [1000, 1000, 500], 'pod anti-affinity': [400, 400, 200], 'topology spread': [1000, 1000, 500], preemption: [60, 60, 20],
  };
  const bound = floors[shape][clusterSizes.findIndex((size) => size === nodes)];
  return bound === undefined ? {} : { budget: { at: 'least', of: 'value', bound } };
}

/** Anti-affinity leaves room for one pod on a node; every preemption takes a node. */
function podsOf(shape: Shape, nodes: number, quick: boolean): number {
  const most = quick ? 2000 : 5000;
  switch (shape) {
    case 'pod anti-affinity': return Math.min(most / 2, nodes * 0.8);
    case 'preemption': return Math.min(quick ? 200 : 500, nodes * 0.8);
    default: return most;
  }
}

function rateOf(pods: number, { cpuSeconds }: Measured): number {
  return Math.round(pods / cpuSeconds);
}

function noteOf(pods: number, { seconds, pssBytes }: Measured): string {
  return `${String(pods)} pods in ${seconds.toFixed(1)} s; the process then has ${String(Math.round(pssBytes / 1e6))} MB`;
}
