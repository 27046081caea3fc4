import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';

/** Debian's etcd (package etcd-server) on loopback, with one member; what it keeps survives `kill` and `start`. */
export class EtcdServer {
  readonly #dir: string;
  readonly #ports: readonly [number, number];
  #process: ChildProcess | undefined;

  private constructor(dir: string, ports: readonly [number, number]) {
    this.#dir = dir;
    this.#ports = ports;
  }

  static async start(): Promise<EtcdServer> {
    const server = new EtcdServer(await mkdtemp(join(tmpdir(), 'cleat-etcd-')), [await freePort(), await freePort()]);
    await server.start();
    return server;
  }

  get url(): string { return `http://127.0.0.1:${String(this.#ports[0])}`; }

  async start(): Promise<void> {
    const peer = `http://127.0.0.1:${String(this.#ports[1])}`;
    const child = this.#process = spawn('etcd', [
      '--data-dir', this.#dir, '--listen-client-urls', this.url, '--advertise-client-urls', this.url, '--listen-peer-urls', peer,
      '--initial-advertise-peer-urls', peer, '--initial-cluster', `default=${peer}`, '--logger', 'zap', '--log-level', 'error',
    ], { stdio: 'ignore' });
    await once(child, 'spawn');
    for (const deadline = Date.now() + 60_000; ;) {
      if (child.exitCode !== null) throw new Error(`etcd ended with ${String(child.exitCode)}`);
      const answer = await fetch(`${this.url}/health`).then((response) => response.text(), () => '');
      if (answer.includes('"true"')) return;
      if (Date.now() > deadline) throw new Error('etcd did not become healthy within a minute');
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
  }

  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (!child || child.exitCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  async remove(): Promise<void> {
    await this.kill();
    await rm(this.#dir, { recursive: true, force: true });
  }
}
