import type { Log } from '#common/log.ts';
import { messageOf } from '#common/errors.ts';
import type { DockerEngine } from './engine.ts';
import { jsonLines } from './json-lines.ts';
import type { EngineEvent, InspectedContainer } from './messages.ts';

export interface OomKillsDeps { readonly engine: DockerEngine; readonly log: Log }

/**
 * In which containers the kernel has killed something because their memory ran out. Docker learns of that and of their
 * exit in any order, and up to 20.10 its `OOMKilled` is only of what it knew at the exit: what it hears a moment later
 * is an event, and nothing else.
 */
export class OomKills {
  readonly #deps: OomKillsDeps;
  readonly #ids = new Set<string>();

  constructor(deps: OomKillsDeps) {
    this.#deps = deps;
  }

  has(id: string): boolean { return this.#ids.has(id); }

  add(id: string): void { this.#ids.add(id); }

  /** Looks, for one that has failed, among the events of the past that Docker still has: who listens may have begun later. */
  async learn({ Id: id, State: state }: InspectedContainer, signal: AbortSignal): Promise<void> {
    if (state.Status !== 'exited' || state.ExitCode === 0 || this.#ids.has(id)) return;
    if (state.OOMKilled || await this.#isTold(id, signal)) this.#ids.add(id);
  }

  retain(present: ReadonlySet<string>): void {
    for (const id of this.#ids) if (!present.has(id)) this.#ids.delete(id);
  }

  async #isTold(id: string, signal: AbortSignal): Promise<boolean> {
    const { engine, log } = this.#deps;
    try {
      // What ends before now does not wait for more.
      const query = { since: 0, until: (Date.now() / 1000).toFixed(3), filters: JSON.stringify({ type: ['container'], container: [id], event: ['oom'] }) };
      const answer = await engine.open('GET', '/events', { query }, signal);
      let told = false;
      for await (const { Actor: actor } of jsonLines<EngineEvent>(answer as AsyncIterable<Buffer>)) told ||= actor?.ID === id;
      return told;
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ container: id, err: messageOf(error) }, 'the past events of a container cannot be read; if it ran out of memory, that may not be told');
      return false;
    }
  }
}
