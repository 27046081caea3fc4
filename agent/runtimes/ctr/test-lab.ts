import { join } from 'node:path';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { ensureHelloImage, ensurePauseImage, pauseImage } from '#install/images.ts';
import { openTestHost, type TestHost } from '../test-host.ts';
import { CtrDriver, type CtrConfig } from './driver.ts';

/** For tests: a containerd without CRI on a host of its own, with our images and a pod network. */
export interface CtrLab {
  readonly host: TestHost;
  readonly driver: CtrDriver;
  readonly config: CtrConfig;
  /** Another driver on the same containerd, as after a restart of the agent. */
  connect(): CtrDriver;
  close(): Promise<void>;
}

export async function openCtrLab(): Promise<CtrLab> {
  const signal = AbortSignal.timeout(60_000);
  const host = await openTestHost('cleat-ctr-', '10.79.0.0/24');
  const { stateDir, netns, cni, cniLauncher, containerd } = host;
  const config: CtrConfig = { endpoint: `unix://${containerd}`, owner: netns, stateDir, runDir: join(stateDir, 'run'), sandboxImage: pauseImage, cni, cniLauncher, registryHostsDir: join(stateDir, 'certs.d') };
  const connect = (): CtrDriver => new CtrDriver({ clock: systemClock, log: silentLog }, config);
  try {
    const driver = connect();
    await ensurePauseImage(driver, signal);
    await ensureHelloImage(driver, signal);
    return { host, driver, config, connect, close: () => host.close() };
  } catch (error) {
    await host.close().catch(() => undefined);
    throw error;
  }
}
