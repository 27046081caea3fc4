import { AsyncLocalStorage } from 'node:async_hooks';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { watchEffects, type Effect } from '#agent/pods/test-boundaries.ts';
import { systemClock } from '#common/clock.ts';
import { execOk } from '#common/exec.ts';
import { silentLog } from '#common/log.ts';
import { version } from '#common/version.ts';
import { upgradeToConfirm, UpgradeConfirmation } from './confirm.ts';
import { dismissGuard, install } from './install.ts';
import { receivedPath, upgradePaths } from './paths.ts';

/** An agent that is killed at each thing that it does for an upgrade, and what the units' guard and systemd make of what it has left. */
const sha256 = 'a'.repeat(64);
let [folder, executable, tools] = ['', '', ''];
let told: string[] = [];
const deaths = new Set<string>();
const path = process.env['PATH'] ?? '';

function script(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `#!/bin/sh\n${text}\n`);
  chmodSync(file, 0o755);
}
const which = (): string => readFileSync(executable, 'utf8').trim().split(' ').at(-1) ?? '';
const guard = (...args: string[]): Promise<string> => execOk('sh', ['-c', `[ ! -e "$0" ] || exec sh "$0" "$@"`, upgradePaths(folder).guard, ...args]);
const pending = (from: string, to: string, confirmMs: number): void => { writeFileSync(upgradePaths(folder).pending, JSON.stringify({ from, to, executable, sinceMs: 0, confirmMs })); };

/** An agent's life: at which of its effects it dies, how, and whether it has. */
interface Life { readonly when: 'during' | 'after'; readonly died: () => void; dead: boolean }
const lives = new AsyncLocalStorage<Life>();

/** As a crash: what is done is done, and nothing comes after it. */
async function around<T>({ name, half }: Effect, proceed: () => Promise<T>): Promise<T> {
  const life = lives.getStore();
  const never = new Promise<T>(() => undefined);
  if (life?.dead === true) return never;
  if (!life || deaths.has(name)) return proceed();
  life.dead = true;
  deaths.add(name);
  if (life.when === 'during') await half?.();
  else await proceed();
  life.died();
  return never;
}

async function agent(work: 'install' | 'confirm' | 'back'): Promise<void> {
  if (work === 'install') await install({ log: silentLog, nowMs: () => 0 }, { stateDir: folder, executable, supervised: true }, { task: 'upgrade', sha256, version: '9.0.0', confirmMs: 1000 });
  else if (upgradeToConfirm(folder)) {
    const stop = new AbortController();
    const confirmation = new UpgradeConfirmation({ clock: systemClock, log: silentLog, unwell: () => (work === 'back' ? 'it is not well' : undefined), tell: (_, reason) => { told.push(reason); } }, folder);
    const done = confirmation.start(stop.signal);
    while (work === 'back' ? existsSync(upgradePaths(folder).pending) : upgradeToConfirm(folder)) await systemClock.sleep(1, stop.signal);
    stop.abort();
    await done;
  }
}

/** Agents, one after the other, until one has nothing left to do. `between` is what a host does before it starts the next one. */
async function untilDone(work: 'install' | 'confirm' | 'back', when: 'during' | 'after', between: () => Promise<unknown>): Promise<number> {
  for (let killed = 0; ; killed++) {
    const { promise: death, resolve } = Promise.withResolvers<'died'>();
    const life: Life = { when, died: () => { resolve('died'); }, dead: false };
    const ended = await Promise.race([lives.run(life, () => agent(work)), death]);
    expect(['old', 'new'], 'what is in place is whole').toContain(which());
    expect(statSync(executable).mode & 0o777).toBe(0o755);
    if (ended !== 'died') return killed;
    expect(killed).toBeLessThan(80);
    await between();
    expect(['old', 'new']).toContain(which());
  }
}

beforeAll(() => watchEffects('/nowhere', (effect, proceed) => around({ ...effect, name: effect.name.replaceAll(folder, '') }, proceed)));
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cleat-upgrade-'));
  [executable, tools, told] = [join(folder, 'bin/cleat'), join(folder, 'tools'), []];
  process.env['PATH'] = `${tools}:${path}`;
  deaths.clear();
  script(executable, 'echo v1 old');
  script(receivedPath(folder, sha256), "[ \"$1\" = version ] && echo 'Client Version: v9.0.0'; exit 0 # new");
  for (const name of ['systemctl', 'systemd-run']) script(join(tools, name), `echo "${name} $*" >>${join(folder, 'calls')}`);
});
afterEach(() => {
  process.env['PATH'] = path;
  rmSync(folder, { recursive: true, force: true });
});

describe.each(['during', 'after'] as const)('an agent that is killed %s each thing that it does', (when) => {
  it('puts another executable in place when it is told again, and the one before is kept', async () => {
    // systemd starts the agent anew with what is there, which the next attempt comes through.
    const again = async (): Promise<void> => {
      await guard('cleat-agent.service');
      if (which() === 'old') await dismissGuard(folder);
      else script(receivedPath(folder, sha256), "[ \"$1\" = version ] && echo 'Client Version: v9.0.0'; exit 0 # new");
    };
    expect(await untilDone('install', when, again)).toBeGreaterThan(15);
    expect(which()).toBe('new');
    expect(readFileSync(upgradePaths(folder).previous, 'utf8')).toMatch(/# new|old/);
    expect(existsSync(upgradePaths(folder).pending) && existsSync(upgradePaths(folder).guard)).toBe(true);
    expect(readdirSync(join(folder, 'bin')).filter((name) => name !== 'cleat' && !name.endsWith('.unfinished'))).toEqual([]);
  });

  it('confirms what works, once, and nothing takes it back any more', async () => {
    script(executable, 'echo v9 # new');
    script(upgradePaths(folder).previous, 'echo v1 old');
    writeFileSync(upgradePaths(folder).failed, 'an attempt to go back that was cut off');
    pending('0.0.9', version, 60_000);
    await untilDone('confirm', when, async () => undefined);
    expect(which()).toBe('new');
    expect(new Set(told)).toEqual(new Set(['Upgraded']));
    for (let i = 0; i < 6; i++) await guard('cleat-agent.service');
    await guard('late');
    expect(which()).toBe('new');
    expect(['pending', 'guard', 'failed'].filter((name) => existsSync(join(folder, 'upgrade', name)))).toEqual([]);
  });

  it('goes back from what does not work, and says so', async () => {
    script(executable, 'echo v9 # new');
    script(upgradePaths(folder).previous, 'echo v1 old');
    pending('0.0.9', version, 0);
    await untilDone('back', when, async () => undefined);
    expect(which()).toBe('old');
    deaths.clear();
    await untilDone('confirm', when, async () => undefined);
    expect(new Set(told)).toEqual(new Set(['UpgradeTakenBack']));
    expect(existsSync(upgradePaths(folder).failed)).toBe(false);
  });
});

it('a guard that is killed at each step takes back what does not come up all the same', async () => {
  await agent('install');
  const text = readFileSync(upgradePaths(folder).guard, 'utf8');
  for (let step = 1; ; step++) {
    script(executable, 'echo v9 # new');
    pending(version, '9.0.0', 1000);
    writeFileSync(upgradePaths(folder).guard, text);
    for (const name of ['cp', 'sync', 'mv', 'rm']) script(join(tools, name), `n=$(( $(/bin/cat ${folder}/n 2>/dev/null || echo 0) + 1 )); echo $n >${folder}/n; [ $n != ${String(step)} ] || { kill -9 $PPID; exit 1; }\nexec /bin/${name} "$@"`);
    rmSync(join(folder, 'n'), { force: true });
    for (let i = 0; i < 5; i++) await guard('cleat-agent.service').catch(() => undefined);
    const reached = Number(readFileSync(join(folder, 'n'), 'utf8')) >= step;
    for (const name of ['cp', 'sync', 'mv', 'rm']) rmSync(join(tools, name));
    for (let i = 0; i < 6; i++) await guard('cleat-agent.service');
    expect(which(), `killed at step ${String(step)}`).toBe('old');
    if (!reached) break;
  }
});
