import { processRef, type ProcessRef } from '../process.ts';
import type { SandboxRecord } from '../sandbox/records.ts';
import type { Container, SandboxConfig } from '../types.ts';

/** What is kept of a container: containerd's command line tells neither exit codes nor times. */
export interface ContainerRecord extends Omit<Container, 'state' | 'reason' | 'message'> {
  /** False while it is being made. */
  readonly made: boolean;
  readonly stopSignal: string;
  readonly streams: { readonly stdin: boolean; readonly stdinOnce: boolean; readonly tty: boolean };
  readonly cgroup: string;
  /** What the layers of its image are called, where its root file system is an overlay of ours over them; absent where containerd made it. */
  readonly layers?: string;
  /** What `ctr run` is told of the runtime, and of the container's labels: containerd learns of it when it is started. Absent in records of versions that created it before. */
  readonly handler?: readonly string[];
  /** Absent until it was started. */
  readonly process?: ProcessRef;
  /** Present once it has ended. */
  readonly end?: { readonly reason: string; readonly message: string };
}

export interface CtrSandboxRecord extends SandboxRecord {
  readonly cgroup: string;
  /** What runs its pause program; absent in records of versions that had containerd run it as a task. */
  readonly keeper?: 'runc';
  readonly hostIpc: boolean;
  readonly hostNetwork: boolean;
}

export function cgroupOf(sandbox: SandboxConfig, id: string): string {
  return `${sandbox.cgroupParent}/${id}`;
}

export async function isAlive(process: ProcessRef | undefined): Promise<boolean> {
  return process !== undefined && (await processRef(process.pid))?.startTime === process.startTime;
}

/** The process that a sandbox was made with, as `made.startedAt` keeps it. */
export function pauseOf({ made }: SandboxRecord): ProcessRef | undefined {
  const [pid = '', startTime = ''] = made?.startedAt.split(' ') ?? [];
  return pid === '' ? undefined : { pid: Number(pid), startTime };
}

export function toContainer(record: ContainerRecord): Container {
  const { made: _made, stopSignal: _signal, streams: _streams, cgroup: _cgroup, handler: _handler, layers: _layers, process, end, ...container } = record;
  return { ...container, state: end ? 'exited' : process ? 'running' : 'created', reason: end?.reason ?? '', message: end?.message ?? '' };
}
