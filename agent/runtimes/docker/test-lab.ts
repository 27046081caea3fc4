import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { ensureHelloImage, ensurePauseImage, pauseImage } from '#install/images.ts';
import { openTestHost, until, type TestHost } from '../test-host.ts';
import { DockerDriver, type DockerConfig } from './driver.ts';
import { DockerEngine } from './engine.ts';

/** For tests: a Docker on a host of its own, with our images and a pod network. */
export interface DockerLab {
  readonly host: TestHost;
  readonly engine: DockerEngine;
  readonly driver: DockerDriver;
  readonly config: DockerConfig;
  /** Kills Docker, and starts it again. */
  killDocker(): Promise<void>;
  /** Another driver on the same Docker, as after a restart of the agent. */
  connect(): DockerDriver;
  close(): Promise<void>;
}

export async function openDockerLab(): Promise<DockerLab> {
  const signal = AbortSignal.timeout(90_000);
  const host = await openTestHost('cleat-docker-', '10.78.0.0/24');
  const { stateDir, netns, cni, cniLauncher } = host;
  const engine = new DockerEngine(join(stateDir, 'docker.sock'), systemClock);
  const config: DockerConfig = { endpoint: `unix://${engine.endpoint}`, owner: netns, stateDir, runDir: join(stateDir, 'run'), sandboxImage: pauseImage, cni, cniLauncher };
  const startDocker = async (within: AbortSignal): Promise<number> => {
    await rm(join(stateDir, 'docker.pid'), { force: true });
    const pid = await host.launch('dockerd', '--data-root', join(stateDir, 'data'), '--exec-root', join(stateDir, 'exec'), '-H', `unix://${engine.endpoint}`, '--containerd', host.containerd,
      '--pidfile', join(stateDir, 'docker.pid'), '--oom-score-adjust', '0', '--cgroup-parent', `/${netns}`, '--config-file', join(stateDir, 'daemon.json'));
    await until(within, async () => { await engine.call('GET', '/version', { timeoutMs: 1000 }, within); });
    return pid;
  };
  const connect = (): DockerDriver => new DockerDriver({ clock: systemClock, log: silentLog }, config);
  try {
    await writeFile(join(stateDir, 'daemon.json'), JSON.stringify({ 'insecure-registries': ['192.0.2.0/24'] }));
    let pid = await startDocker(signal);
    const driver = connect();
    await ensurePauseImage(driver, signal);
    await ensureHelloImage(driver, signal);
    const killDocker = async (): Promise<void> => {
      process.kill(pid, 'SIGKILL');
      pid = await startDocker(AbortSignal.timeout(60_000));
    };
    return { host, engine, driver, config, killDocker, connect, close: () => host.close() };
  } catch (error) {
    const log = await readFile(join(stateDir, 'dockerd.log'), 'utf8').catch(() => '');
    await host.close().catch(() => undefined);
    throw new Error(`the lab's Docker does not start: ${log.slice(-2000)}`, { cause: error });
  }
}
