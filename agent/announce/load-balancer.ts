import { secrets } from '#api/kinds/resources.ts';
import { poolSecret } from '#api/load-balancer/pool.ts';
import { exec } from '#common/exec.ts';
import { isAbort, type Runnable } from '#common/lifecycle.ts';
import { Wakeup } from '#common/wakeup.ts';
import type { Ledger } from '#agent/node/ledger.ts';
import type { SpeakerConfig, SpeakerDeps } from './speaker.ts';

export type LoadBalancerDeps = Pick<SpeakerDeps, 'state' | 'problem' | 'events' | 'clock' | 'log'> & { readonly ledger: Ledger; readonly random: () => number };

/** The speaker, loaded when the cluster has a pool of addresses, or an earlier life of this agent answered for some. */
export class LoadBalancerAddresses implements Runnable {
  readonly #deps: LoadBalancerDeps;
  readonly #config: Pick<SpeakerConfig, 'nodeName'>;

  constructor(deps: LoadBalancerDeps, config: Pick<SpeakerConfig, 'nodeName'>) {
    this.#deps = deps;
    this.#config = config;
  }

  async start(signal: AbortSignal): Promise<void> {
    const { state, ledger, random, ...deps } = this.#deps;
    const wakeup = new Wakeup();
    const stop = state.subscribe(() => { wakeup.notify(); });
    const before = new Set(ledger.records.flatMap(({ kind, target, after }) => (kind === 'address' && after === heldMark ? [target.split('/')[0] ?? ''] : [])));
    try {
      while (before.size === 0 && state.get(secrets, poolSecret.namespace, poolSecret.name) === undefined) await wakeup.wait(signal);
      stop();
      const [{ Speaker, speakerDefaults }, { HeldAddresses }, { openBeatSocket }] = await Promise.all([import('./speaker.ts'), import('./addresses.ts'), import('./socket.ts')]);
      const addresses = new HeldAddresses({ exec, random, record: (target) => ledger.record({ kind: 'address', target, before: null, after: heldMark }), recordSysctl: (target, was, after) => ledger.record({ kind: 'sysctl', target, before: was, after }) });
      await new Speaker({ ...deps, state, addresses, before, open: openBeatSocket, isHostStopping }, { ...speakerDefaults, ...this.#config }).start(signal);
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    } finally {
      stop();
    }
  }
}

/** Tells these from other addresses in the ledger. */
const heldMark = 'load-balancer';

async function isHostStopping(): Promise<boolean> {
  const { stdout } = await exec('systemctl', ['is-system-running'], { timeoutMs: 1000 }).catch(() => ({ stdout: '' }));
  return stdout.trim() === 'stopping';
}
