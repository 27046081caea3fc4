import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DiskWear, moreWorn } from './disk-wear.ts';

type Answers = Readonly<Record<string, string>>;
function host(disks: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'wear-'));
  for (const [name, rotational] of Object.entries(disks)) {
    mkdirSync(join(root, 'sys/block', name, 'queue'), { recursive: true });
    writeFileSync(join(root, 'sys/block', name, 'queue/rotational'), `${rotational}\n`);
  }
  return root;
}
function tools(answers: Answers): { asked: string[]; run: (program: string, args: readonly string[]) => Promise<{ stdout: string }> } {
  const asked: string[] = [];
  const run = (program: string, args: readonly string[]): Promise<{ stdout: string }> => {
    const call = `${program} ${args.at(-1) ?? ''}`;
    asked.push(call);
    const stdout = answers[call];
    return stdout === undefined ? Promise.reject(new Error(`cannot run ${program}`)) : Promise.resolve({ stdout });
  };
  return { asked, run };
}
const smartctl = (percent: unknown): string => JSON.stringify({ smartctl: { exit_status: 4 }, nvme_smart_health_information_log: { percentage_used: percent } });

describe('wear of disks that only tools can ask', () => {
  it.each<[string, Answers, object | undefined]>([
    ['smartctl', { 'smartctl /dev/nvme0n1': smartctl(7), 'smartctl /dev/sda': '{"endurance_used":{"current_percent":12}}' }, { device: 'sda', wornPercent: 12 }],
    ['nvme', { 'nvme /dev/nvme0n1': '{"percent_used":104}' }, { device: 'nvme0n1', wornPercent: 104 }],
    ['neither', {}, undefined],
    ['a disk that does not tell', { 'smartctl /dev/nvme0n1': smartctl('x'), 'nvme /dev/nvme0n1': 'not json', 'smartctl /dev/sda': '[]' }, undefined],
  ])('is told by %s', async (_, answers, expected) => {
    const { run, asked } = tools(answers);
    expect(await new DiskWear({ run, monotonicMs: () => 0 }, host({ nvme0n1: '0', sda: '0', sdb: '1', loop0: '0', mmcblk0: '0' })).read()).toEqual(expected);
    expect(asked.every((call) => / \/dev\/(nvme0n1|sda)$/.test(call))).toBe(true);
  });

  it('is asked for seldom', async () => {
    const { run, asked } = tools({ 'smartctl /dev/nvme0n1': smartctl(7) });
    let nowMs = 0;
    const wear = new DiskWear({ run, monotonicMs: () => nowMs }, host({ nvme0n1: '0' }));
    for (const hours of [0, 1, 5, 6]) {
      nowMs = hours * 3_600_000;
      expect(await wear.read()).toEqual({ device: 'nvme0n1', wornPercent: 7 });
    }
    expect(asked).toHaveLength(2);
  });

  it('is that of the most worn', () => {
    const [card, disk] = [{ device: 'mmcblk0', wornPercent: 30 }, { device: 'nvme0n1', wornPercent: 31 }];
    expect([moreWorn(card, disk), moreWorn(disk, card), moreWorn(undefined, card), moreWorn(undefined, undefined)]).toEqual([{ disk }, { disk }, { disk: card }, {}]);
  });
});
