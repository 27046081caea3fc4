import { toStatus } from '#common/errors.ts';
import type { Channels } from '#common/streams/channels.ts';
import { channelPair } from '#common/streams/pair.ts';
import { install, restartUnits, type InstallConfig, type InstallDeps } from './install.ts';
import { receive } from './receive.ts';
import type { HostTask } from '#common/host-task.ts';

/** Two at once would write the same files. */
export class HostTasks {
  readonly #deps: InstallDeps;
  readonly #config: InstallConfig;
  #last: Promise<unknown> = Promise.resolve();

  constructor(deps: InstallDeps, config: InstallConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** The stream on which the task is worked on: channel 0 brings its data, and takes lines of JSON. */
  serve(task: HostTask): Channels {
    const [theirs, ours] = channelPair([0]);
    this.#last = this.#last.then(() => this.#work(task, ours));
    return theirs;
  }

  async #work(task: HostTask, channels: Channels): Promise<void> {
    const stream = channels.channel(0);
    try {
      const answer = task.task === 'receive' ? await receive(this.#config.stateDir, task, stream) : await install(this.#deps, this.#config, task);
      await stream.write(Buffer.from(`${JSON.stringify(answer)}\n`));
      await stream.end();
      if (task.task === 'upgrade') await restartUnits(this.#deps.log);
    } catch (error) {
      const { code, message } = toStatus(error);
      this.#deps.log.warn({ task: task.task, err: message }, 'a task of the control plane on this host failed');
      await stream.write(Buffer.from(`${JSON.stringify({ error: { code, message } })}\n`)).catch(() => undefined);
      await stream.end().catch(() => undefined);
    }
  }
}
