import { createHmac, timingSafeEqual } from 'node:crypto';
import { isRecord } from '#api/meta/json.ts';

/** What hosts tell each other several times a second: that they live, and what they answer for. */
export interface Beat {
  readonly node: string;
  /** Another one after each start of the agent. */
  readonly life: string;
  /** Grows within a life. */
  readonly sequence: number;
  readonly able: boolean;
  readonly holds: readonly string[];
  /** How long the word counts when no other follows. */
  readonly validMs: number;
}

const macBytes = 16;
/** Longer ones would have to be cut into pieces on the way; 1,000 addresses fit. */
export const maxBeatBytes = 32 << 10;
const maxValidMs = 60_000;

export function encodeBeat(beat: Beat, key: Uint8Array): Buffer {
  const text = Buffer.from(JSON.stringify(beat));
  return Buffer.concat([macOf(text, key), text]);
}

/** Undefined for what does not come from a host of this cluster, or makes no sense. */
export function decodeBeat(bytes: Uint8Array, key: Uint8Array): Beat | undefined {
  if (bytes.length <= macBytes || bytes.length > maxBeatBytes) return undefined;
  const text = bytes.subarray(macBytes);
  if (!timingSafeEqual(bytes.subarray(0, macBytes), macOf(text, key))) return undefined;
  let value: unknown;
  try { value = JSON.parse(Buffer.from(text).toString()); } catch { return undefined; }
  if (!isRecord(value)) return undefined;
  const { node, life, sequence, able, holds, validMs } = value;
  if (typeof node !== 'string' || typeof life !== 'string' || typeof sequence !== 'number' || typeof able !== 'boolean' || typeof validMs !== 'number') return undefined;
  if (!Array.isArray(holds) || !(validMs >= 0 && validMs <= maxValidMs)) return undefined;
  return { node, life, sequence, able, validMs, holds: holds.filter((ip): ip is string => typeof ip === 'string') };
}

function macOf(text: Uint8Array, key: Uint8Array): Buffer {
  return createHmac('sha256', key).update(text).digest().subarray(0, macBytes);
}

const maxLives = 50;

/** Refuses words that were said before, by whoever repeats them. */
export class Memory {
  readonly #last = new Map<string, { life: string; sequence: number; readonly former: string[] }>();

  isNew({ node, life, sequence }: Pick<Beat, 'node' | 'life' | 'sequence'>): boolean {
    const last = this.#last.get(node);
    if (last?.life === life) {
      if (sequence <= last.sequence) return false;
      last.sequence = sequence;
      return true;
    }
    if (last?.former.includes(life)) return false;
    this.#last.set(node, { life, sequence, former: last ? [...last.former, last.life].slice(-maxLives) : [] });
    return true;
  }

  /** Only of these something is remembered. */
  keep(nodes: ReadonlySet<string>): void {
    for (const node of this.#last.keys()) if (!nodes.has(node)) this.#last.delete(node);
  }
}
