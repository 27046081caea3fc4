import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { uptime } from 'node:os';
import { dirname } from 'node:path';
import { isRecord } from '#api/meta/json.ts';
import { messageOf } from '#common/errors.ts';
import { kernelBootId } from '#common/kernel-file.ts';
import type { Log } from '#common/log.ts';
import type { Contact } from './types.ts';

export interface HostContactDeps {
  readonly log: Log;
  /** Milliseconds since the host was booted, the time that it slept included; the kernel's when absent. */
  readonly uptimeMs?: () => number;
  /** Changes with every boot; the kernel's when absent. */
  readonly bootId?: () => Promise<string>;
}

/**
 * Remembers when the control plane last knew that this host lives. In a file that a reboot takes away, so that an agent
 * that is started anew goes on where the one before was; a host that was off cannot know for how long.
 */
export class HostContact implements Contact {
  readonly #log: Log;
  readonly #file: string;
  readonly #uptimeMs: () => number;
  readonly #bootId: string;
  readonly #listeners = new Set<() => void>();
  #lastMs: number | undefined;
  #periodMs = Infinity;
  #hurry: () => void = () => undefined;
  #writing = false;

  private constructor(deps: HostContactDeps, file: string, bootId: string, lastMs: number | undefined) {
    this.#log = deps.log.child({ component: 'contact' });
    this.#uptimeMs = deps.uptimeMs ?? systemUptimeMs;
    this.#file = file;
    this.#bootId = bootId;
    this.#lastMs = lastMs;
  }

  /** What cannot be read counts as no contact. */
  static async open(deps: HostContactDeps, file: string): Promise<HostContact> {
    const bootId = await (deps.bootId?.() ?? kernelBootId());
    const lastMs = parse(await readFile(file, 'utf8').catch(() => ''), bootId);
    const nowMs = (deps.uptimeMs ?? systemUptimeMs)();
    return new HostContact(deps, file, bootId, lastMs !== undefined && lastMs <= nowMs ? lastMs : undefined);
  }

  /** By the clock that `heard` and `silentMs` count with. */
  nowMs(): number { return this.#uptimeMs(); }

  silentMs(): number | undefined {
    return this.#lastMs === undefined ? undefined : Math.max(0, this.#uptimeMs() - this.#lastMs);
  }

  /** The control plane has answered a heartbeat that was sent at `sentMs`. */
  heard(sentMs: number): void {
    if (this.#lastMs !== undefined && sentMs <= this.#lastMs) return;
    this.#lastMs = sentMs;
    if (this.#periodMs !== Infinity) void this.#write();
    for (const listener of this.#listeners) listener();
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => { this.#listeners.delete(listener); };
  }

  need(periodMs: number): void {
    const sooner = periodMs < this.#periodMs;
    this.#periodMs = periodMs;
    if (!sooner) return;
    void this.#write();
    this.#hurry();
  }

  /** How far apart heartbeats may be at most. */
  get periodMs(): number { return this.#periodMs; }

  /** Called when that has become shorter; one listener, the session that is open. */
  onHurry(hurry: () => void): void { this.#hurry = hurry; }

  /** The newest counts: what was heard during a write is written after it. */
  async #write(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    let written: number | undefined;
    try {
      while (this.#lastMs !== undefined && this.#lastMs !== written) {
        written = this.#lastMs;
        await mkdir(dirname(this.#file), { recursive: true, mode: 0o711 });
        await writeFile(`${this.#file}.new`, JSON.stringify({ bootId: this.#bootId, lastMs: written }), { mode: 0o600 });
        await rename(`${this.#file}.new`, this.#file);
      }
    } catch (error) {
      this.#log.warn({ file: this.#file, err: messageOf(error) }, 'the time of the last contact cannot be written: an agent that is started anew would end the pods of which there may be only one copy');
    } finally {
      this.#writing = false;
    }
  }
}

function parse(text: string, bootId: string): number | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (isRecord(value) && value['bootId'] === bootId && typeof value['lastMs'] === 'number') return value['lastMs'];
  } catch { /* none, or not whole */ }
  return undefined;
}

/** CLOCK_BOOTTIME: the process's own monotonic clock stands still while the host sleeps. */
function systemUptimeMs(): number {
  return uptime() * 1000;
}
