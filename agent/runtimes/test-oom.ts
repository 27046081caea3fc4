import { execOk } from '#common/exec.ts';

/** For tests: has a containerd tell whoever listens that memory ran out in a container, as its shim does, at a time of our choosing. */
export async function tellOom(endpoint: string, namespace: string, containerId: string): Promise<void> {
  const field = (number: number, value: Buffer): Buffer => Buffer.concat([Buffer.from([(number << 3) | 2, value.length]), value]);
  const event = field(1, Buffer.from(containerId));
  const any = Buffer.concat([field(1, Buffer.from('containerd.events.TaskOOM')), field(2, event)]);
  await execOk('containerd', ['--address', endpoint.replace('unix://', ''), 'publish', '--namespace', namespace, '--topic', '/tasks/oom'], { input: any });
}
