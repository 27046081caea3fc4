import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Ctr } from '../containerd/ctr.ts';
import { containerConfig } from '../test-configs.ts';
import type { SecurityProfile } from '../types.ts';
import { appArmorOf } from './apparmor.ts';

let dir: string;
let profiles: string;
beforeEach(async () => { dir = await mkdtemp(join(tmpdir(), 'cleat-apparmor-')); profiles = join(dir, 'profiles'); });
afterEach(() => rm(dir, { recursive: true }));

/** A containerd that loads the profile that it is asked for, as long as there is a parser. */
function containerd(hasParser = true): { readonly ctr: Ctr; readonly calls: string[] } {
  const calls: string[] = [];
  const run = async (args: readonly string[]): Promise<string> => {
    calls.push(args.slice(0, 2).join(' '));
    const name = args[args.indexOf('--apparmor-default-profile') + 1];
    if (args[1] !== 'create') return '';
    if (!hasParser) throw new Error('exec: "apparmor_parser": executable file not found in $PATH');
    await writeFile(profiles, `own (enforce)\n${name ?? ''} (enforce)\n`);
    return '';
  };
  return { ctr: { run } as unknown as Ctr, calls };
}
const of = (ctr: Ctr, appArmor?: SecurityProfile, privileged = false): Promise<string | undefined> => {
  const { security } = containerConfig('');
  return appArmorOf(ctr, { ...security, privileged, ...(appArmor && { appArmor }) }, dir, new AbortController().signal, profiles);
};

it("confines by containerd's profile what names none, which is loaded once, and by its own what names one", async () => {
  await writeFile(profiles, 'own (enforce)\nother-own (complain)\n');
  const { ctr, calls } = containerd();
  expect([await of(ctr, { type: 'Unconfined' }), await of(ctr, undefined, true), await of(ctr, { type: 'Localhost', reference: 'own' }), calls]).toEqual([undefined, undefined, 'own', []]);
  expect([await of(ctr), await of(ctr, { type: 'RuntimeDefault' }, true)]).toEqual(['cleat-default', 'cleat-default']);
  expect(calls).toEqual(['containers create', 'containers rm']);
  await expect(of(ctr, { type: 'Localhost', reference: 'ow' })).rejects.toMatchObject({ code: 'Invalid', message: 'apparmor profile not found ow' });
});

it('refuses what cannot be confined as asked, and nothing that did not ask', async () => {
  expect(await of(containerd().ctr)).toBeUndefined();
  await expect(of(containerd().ctr, { type: 'RuntimeDefault' })).rejects.toMatchObject({ code: 'Invalid' });
  await writeFile(profiles, '');
  expect(await of(containerd(false).ctr)).toBeUndefined();
  await expect(of(containerd(false).ctr, { type: 'RuntimeDefault' })).rejects.toThrow(/cannot be loaded: exec: "apparmor_parser".*Debian: apparmor/);
});
