import { messageOf } from '#common/errors.ts';
import type { NetworkFault, RuntimeSnapshot, SandboxNetworks } from '../types.ts';
import type { Cni, CniTarget } from './cni.ts';
import type { Records, SandboxRecord } from './records.ts';

export interface RecordedNetworksDeps {
  readonly cni: Pick<Cni, 'check' | 'collect'>;
  readonly records: Pick<Records<SandboxRecord>, 'all'>;
  readonly list: (signal: AbortSignal) => Promise<RuntimeSnapshot>;
  /** Of the process that holds a sandbox's namespaces; 0 when there is none. */
  readonly pidOf: (record: SandboxRecord, signal: AbortSignal) => Promise<number>;
}

/** Looks after the networks of sandboxes for which this program, and not the engine, calls CNI plugins. */
export class RecordedNetworks implements SandboxNetworks {
  readonly #deps: RecordedNetworksDeps;

  constructor(deps: RecordedNetworksDeps) {
    this.#deps = deps;
  }

  async check(signal: AbortSignal): Promise<NetworkFault[]> {
    const { cni, records, list, pidOf } = this.#deps;
    const faults: NetworkFault[] = [];
    for (const { id, podUid, podNamespace, podName } of (await list(signal)).sandboxes.filter(({ state }) => state === 'ready')) {
      const record = (await records.all()).get(id);
      const pid = record?.network && await pidOf(record, signal);
      if (!record?.network || !pid) continue;
      try {
        await cni.check(record.network, cniTarget(record, pid), signal);
      } catch (error) {
        signal.throwIfAborted();
        // One that ended meanwhile has no fault.
        if (await pidOf(record, signal) === pid) faults.push({ podUid, podNamespace, podName, problem: messageOf(error) });
      }
    }
    return faults;
  }

  async collect(signal: AbortSignal): Promise<void> {
    const { cni, records, list } = this.#deps;
    // Whoever is about to be given a network has a record already.
    await cni.collect(async () => new Set([...(await list(signal)).sandboxes.map(({ id }) => id), ...(await records.all()).keys()]), signal);
  }
}

/** `pid`: of the process that holds the namespaces; 0 when they are gone. */
export function cniTarget({ id, podUid, podNamespace, podName }: Pick<SandboxRecord, 'id' | 'podUid' | 'podNamespace' | 'podName'>, pid: number): CniTarget {
  return { containerId: id, netns: pid > 0 ? `/proc/${String(pid)}/ns/net` : '', podUid, podNamespace, podName };
}
