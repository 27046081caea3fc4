import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exec, type ExecResult } from './exec.ts';
import type { Hardware } from './hardware.ts';

export interface DiskWearDeps {
  /** Runs a program of the host; rejects when it is not there. */
  readonly run: (program: string, args: readonly string[]) => Promise<Pick<ExecResult, 'stdout'>>;
  readonly monotonicMs: () => number;
}

/** A disk wears in months, and asking it starts a program. */
const keptMs = 6 * 3_600_000;
const toolMs = 5000;

/**
 * How worn disks are that tell only who speaks their language: NVMe and other solid state disks, by `smartctl` or `nvme` where the
 * host has one of them. Unknown otherwise.
 */
export class DiskWear {
  readonly #deps: DiskWearDeps;
  readonly #root: string;
  #last: { readonly atMs: number; readonly disk: Promise<Hardware['disk']> } | undefined;

  constructor(deps: DiskWearDeps = { run: (program, args) => exec(program, args, { timeoutMs: toolMs }), monotonicMs: () => performance.now() }, root = '/') {
    this.#deps = deps;
    this.#root = root;
  }

  /** The most worn of them; asked anew after some hours. */
  async read(): Promise<Hardware['disk']> {
    const nowMs = this.#deps.monotonicMs();
    if (!this.#last || nowMs - this.#last.atMs >= keptMs) this.#last = { atMs: nowMs, disk: this.#ask() };
    return this.#last.disk;
  }

  async #ask(): Promise<Hardware['disk']> {
    const folder = join(this.#root, 'sys/block');
    let worst: Hardware['disk'];
    for (const device of await readdir(folder).catch(() => [])) {
      if (!/^(nvme\d+n\d+|sd[a-z]+)$/.test(device) || (await readFile(join(folder, device, 'queue/rotational'), 'utf8').catch(() => '1')).trim() !== '0') continue;
      const wornPercent = await this.#wearOf(device);
      if (wornPercent !== undefined && (!worst || wornPercent > worst.wornPercent)) worst = { device, wornPercent };
    }
    return worst;
  }

  async #wearOf(device: string): Promise<number | undefined> {
    // A disk that sleeps is left alone.
    const told = await this.#json('smartctl', ['-j', '-A', '-n', 'standby', `/dev/${device}`]);
    const percent = field(told, 'nvme_smart_health_information_log', 'percentage_used') ?? field(told, 'endurance_used', 'current_percent');
    return percent ?? (device.startsWith('nvme') ? nvmePercent(await this.#json('nvme', ['smart-log', '-o', 'json', `/dev/${device}`])) : undefined);
  }

  async #json(program: string, args: readonly string[]): Promise<unknown> {
    // smartctl's status is a sum of warnings; what it says counts.
    const text = await this.#deps.run(program, args).then(({ stdout }) => stdout, () => '');
    try {
      return JSON.parse(text) as unknown;
    } catch {
      return undefined;
    }
  }
}

/** Source: NVMe 1.4, figure 194: may exceed 100, and stops at 255. nvme-cli has called it by two names. */
function nvmePercent(told: unknown): number | undefined {
  return field(told, 'percent_used') ?? field(told, 'percentage_used');
}

function field(value: unknown, ...path: readonly string[]): number | undefined {
  for (const key of path) value = typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>)[key] : undefined;
  return typeof value === 'number' && value >= 0 && value <= 255 ? value : undefined;
}

/** The more worn of two disks. */
export function moreWorn(a: Hardware['disk'], b: Hardware['disk']): Pick<Hardware, 'disk'> {
  const worn = a && b ? (a.wornPercent >= b.wornPercent ? a : b) : a ?? b;
  return worn ? { disk: worn } : {};
}
