import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isRecord } from '#api/meta/json.ts';
import { writeFileAtomic } from '#common/atomic-file.ts';
import { messageOf } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import type { ContainerParts } from './types.ts';

/** What one container has of one resource. */
export interface Allocation {
  readonly ids: readonly string[];
  /** As the source said when it was asked; absent until it has answered, and where it is asked each time. */
  readonly parts?: ContainerParts;
  /** The nodes that the container was last made with, where the source is asked each time. */
  readonly nodes?: string;
}

/** By container, then by resource. */
export type PodAllocations = ReadonlyMap<string, ReadonlyMap<string, Allocation>>;

/** All that must outlive the agent. */
export interface DeviceState {
  /** Of the boot in which it was written: what a plugin said then may not hold in another. */
  readonly bootId: string;
  /** Every resource that ever had a source here, with the ids of its devices. */
  readonly resources: ReadonlyMap<string, readonly string[]>;
  /** By pod uid. */
  readonly pods: ReadonlyMap<string, PodAllocations>;
}

const formatVersion = 1;

/** The checkpoint of devices: one file, replaced as a whole, with a checksum; the one before it is kept beside it. */
export class DeviceRecord {
  readonly #path: string;
  #last: string | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  get #former(): string { return `${this.#path}.previous`; }

  /** Undefined when there is none. One that is damaged counts as the one before it, and is said. */
  async read(log: Log): Promise<DeviceState | undefined> {
    for (const path of [this.#path, this.#former]) {
      let text;
      try {
        text = await readFile(path, 'utf8');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') log.error({ path, err: messageOf(error) }, 'what devices pods have cannot be read; trying the record before it');
        continue;
      }
      const state = parse(text);
      if (state) {
        this.#last = text;
        return state;
      }
      log.error({ path }, 'the record of what devices pods have is damaged; trying the one before it');
    }
    return undefined;
  }

  /** On disk when it resolves. */
  async write(state: DeviceState): Promise<void> {
    const text = print(state);
    if (text === this.#last) return;
    if (this.#last !== undefined) await writeFileAtomic(this.#former, this.#last, 0o600);
    await writeFileAtomic(this.#path, text, 0o600);
    this.#last = text;
  }
}

function print({ bootId, resources, pods }: DeviceState): string {
  const data = JSON.stringify({
    bootId, resources: Object.fromEntries(resources),
    pods: Object.fromEntries([...pods].map(([uid, containers]) => [uid, Object.fromEntries([...containers].map(([name, own]) => [name, Object.fromEntries(own)]))])),
  });
  return `${JSON.stringify({ version: formatVersion, sha256: sha256(data) })}\n${data}\n`;
}

function parse(text: string): DeviceState | undefined {
  const [header = '', data = ''] = text.split('\n');
  try {
    const { version, sha256: sum } = JSON.parse(header) as { version?: unknown; sha256?: unknown };
    if (version !== formatVersion || sum !== sha256(data)) return undefined;
    const { bootId, resources, pods } = JSON.parse(data) as { bootId: string; resources: Record<string, string[]>; pods: Record<string, Record<string, Record<string, Allocation>>> };
    if (!isRecord(resources) || !isRecord(pods)) return undefined;
    return {
      bootId, resources: new Map(Object.entries(resources)),
      pods: new Map(Object.entries(pods).map(([uid, containers]) => [uid, new Map(Object.entries(containers).map(([name, own]) => [name, new Map(Object.entries(own))]))])),
    };
  } catch {
    return undefined;
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
