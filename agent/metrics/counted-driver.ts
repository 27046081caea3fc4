import type { Clock } from '#common/clock.ts';
import type { RuntimeDriver } from '#agent/runtimes/types.ts';
import type { AgentCounts } from './counts.ts';

/** What a driver is asked for, in the words that kubelet has for it. What is not here goes on as long as somebody listens, or asks nothing of the runtime. */
const operations: Partial<Record<keyof RuntimeDriver, string>> = {
  version: 'version', setup: 'status', notReady: 'status', list: 'list_containers', runSandbox: 'run_podsandbox', stopSandbox: 'stop_podsandbox', removeSandbox: 'remove_podsandbox',
  createContainer: 'create_container', startContainer: 'start_container', updateContainer: 'update_container', stopContainer: 'stop_container', removeContainer: 'remove_container', reopenLog: 'reopen_container_log',
  exec: 'exec_sync', execStream: 'exec', attach: 'attach', portForward: 'port_forward',
  listImages: 'list_images', imageId: 'image_status', imageUser: 'image_status', imagesInUse: 'list_images', pullImage: 'pull_image', removeImage: 'remove_image', imageFolder: 'image_fs_info', stats: 'list_container_stats',
};

/** A driver that counts what it is asked for; in all else it is the one that it is made of. */
export function countedDriver(driver: RuntimeDriver, counts: AgentCounts, clock: Clock): RuntimeDriver {
  const methods = new Map<PropertyKey, unknown>();
  return new Proxy(driver, {
    get(target, name) {
      // Classes with private fields know only themselves as `this`.
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      let method = methods.get(name);
      if (method === undefined) {
        const bound = member.bind(target) as (...args: unknown[]) => unknown;
        const type = operations[name as keyof RuntimeDriver];
        methods.set(name, method = type === undefined ? bound : (...args: unknown[]) => counted(type, () => bound(...args) as Promise<unknown>, signalIn(args)));
      }
      return method;
    },
  });

  async function counted(type: string, ask: () => Promise<unknown>, signal: AbortSignal | undefined): Promise<unknown> {
    const beganMs = clock.monotonic();
    let failed = true;
    try {
      const answer = await ask();
      failed = false;
      return answer;
    } catch (error) {
      failed = signal?.aborted !== true;
      throw error;
    } finally {
      counts.operation(type, clock.monotonic() - beganMs, failed);
    }
  }
}

function signalIn(args: readonly unknown[]): AbortSignal | undefined {
  return args.find((arg) => arg instanceof AbortSignal);
}
