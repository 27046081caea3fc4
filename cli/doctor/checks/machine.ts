import { throttlingOf } from '#common/hardware.ts';
import type { Check, Finding } from '../types.ts';

const mib = 1 << 20;
const gib = 1 << 30;
/** Before Cleat was written: a board without a battery that has not heard the time yet. */
const notBefore = Date.UTC(2025, 0, 1);
const mostAheadMs = 60_000;

export const clock: Check = ({ clock: { nowMs, synchronized, canSync, aheadOfServerMs }, processes }) => {
  const findings: Finding[] = [];
  const repair = canSync ? { repair: { does: 'switched time synchronization on', command: ['timedatectl', 'set-ntp', 'true'] as const } } : {};
  const fix = canSync ? 'sudo timedatectl set-ntp true' : 'install chrony (or systemd-timesyncd) and let it reach a time server';
  if (nowMs < notBefore) findings.push({ check: 'clock', level: 'fail', what: `it says ${new Date(nowMs).toISOString()}`, why: 'registries and other servers are not trusted at that time', fix, ...repair });
  else if (aheadOfServerMs !== undefined && Math.abs(aheadOfServerMs) > mostAheadMs) {
    findings.push({ check: 'clock', level: 'warn', what: `it is ${String(Math.round(Math.abs(aheadOfServerMs) / 1000))} s ${aheadOfServerMs > 0 ? 'ahead of' : 'behind'} the control plane's`, why: 'times of Events and logs mislead, and tokens seem to have ended', fix, ...repair });
  } else findings.push({ check: 'clock', level: 'ok', what: new Date(nowMs).toISOString() });
  const syncer = ['chronyd', 'systemd-timesyn', 'systemd-timesyncd', 'ntpd', 'openntpd', 'ntpsec'].find((name) => processes.has(name));
  if (synchronized === true) findings.push({ check: 'time sync', level: 'ok', what: syncer === undefined ? 'synchronized' : `synchronized by ${syncer}` });
  else if (syncer !== undefined) findings.push({ check: 'time sync', level: synchronized === false ? 'warn' : 'ok', what: `${syncer} runs${synchronized === false ? ' but has not heard the time yet' : ''}`, ...(synchronized === false && { why: 'its servers may be out of reach', fix: 'see that UDP 123 to the outside is open, or name a server in this network' }) });
  else findings.push({ check: 'time sync', level: 'warn', what: 'nothing sets the clock', why: 'it drifts, and a board without a battery starts with the wrong time', fix, ...repair });
  return findings;
};

export const disk: Check = ({ disk: { folder, totalBytes, availableBytes, inodes, freeInodes, syncMs, readOnly } }) => {
  const findings: Finding[] = [];
  const share = totalBytes === 0 ? 1 : availableBytes / totalBytes;
  const space = `${(availableBytes / gib).toFixed(1)} GiB of ${(totalBytes / gib).toFixed(1)} free in ${folder}`;
  const fix = 'remove what is not needed: journalctl --vacuum-size=100M, apt-get clean, cleat image prune; or put state-dir on another disk';
  if (readOnly) findings.push({ check: 'disk', level: 'fail', what: `${folder} is mounted read-only`, why: 'nothing can be kept', fix: 'sudo mount -o remount,rw the file system; where that fails, its disk is broken: see dmesg' });
  else if (availableBytes < gib) findings.push({ check: 'disk', level: 'fail', what: space, why: 'images do not fit, and pods are evicted', fix });
  else if (share < 0.1 || availableBytes < 4 * gib) findings.push({ check: 'disk', level: 'warn', what: space, why: 'pods are evicted when less than a tenth is free', fix });
  else findings.push({ check: 'disk', level: 'ok', what: space });
  if (inodes > 0 && freeInodes / inodes < 0.05) findings.push({ check: 'disk', level: 'warn', what: `${String(Math.floor(freeInodes / inodes * 100))} % of the inodes of ${folder} are free`, why: 'no file can be made when there are none, however much space there is', fix });
  if (syncMs !== undefined) {
    findings.push(syncMs > 50
      ? { check: 'disk speed', level: 'warn', what: `a synced write takes ${syncMs.toFixed(0)} ms`, why: 'each change of the cluster waits for one', fix: 'put the state of the control plane on an SSD (state-dir), or use a faster card (class A2)' }
      : { check: 'disk speed', level: 'ok', what: `a synced write takes ${syncMs.toFixed(syncMs < 10 ? 1 : 0)} ms` });
  }
  return findings;
};

export const memory: Check = ({ memory: { totalBytes, availableBytes }, role }) => {
  const needed = role === 'agent' ? 384 * mib : 700 * mib;
  const what = `${String(Math.round(availableBytes / mib))} MiB of ${String(Math.round(totalBytes / mib))} available`;
  if (totalBytes < needed) return [{ check: 'memory', level: 'warn', what, why: `${role === 'agent' ? 'an agent' : 'a control plane with an agent'} and a runtime leave next to nothing for pods`, fix: role === 'agent' ? 'take a host with 512 MiB or more' : 'let this host be an agent only, or take one with 1 GiB or more' }];
  if (availableBytes < 150 * mib) return [{ check: 'memory', level: 'warn', what, why: 'pods are evicted when less than 100 MiB are left', fix: 'stop what is not needed: ps -eo rss,comm --sort=-rss | head' }];
  return [{ check: 'memory', level: 'ok', what }];
};

export const board: Check = ({ hardware: { celsius, throttled, disk: worn }, model }) => {
  const findings: Finding[] = [];
  const { now, since } = throttlingOf(throttled ?? 0);
  if (now.includes('under-voltage')) findings.push({ check: 'power', level: 'fail', what: 'the voltage is too low', why: 'the board is slowed down, and cards lose what was written', fix: 'use the power supply that is made for this board, and a short cable' });
  else if (since.includes('under-voltage')) findings.push({ check: 'power', level: 'warn', what: 'the voltage was too low since the start', why: 'cards lose what was written when it drops', fix: 'use the power supply that is made for this board, and a short cable' });
  const slow = now.filter((what) => what !== 'under-voltage');
  if (slow.length > 0 || (celsius ?? 0) >= 80) findings.push({ check: 'temperature', level: 'warn', what: [...(celsius === undefined ? [] : [`${celsius.toFixed(0)} °C`]), ...slow].join(', '), why: 'the processor is slowed down, or soon will be', fix: 'give it a heat sink or a fan' });
  else if (celsius !== undefined) findings.push({ check: 'temperature', level: 'ok', what: `${celsius.toFixed(0)} °C` });
  if (worn) {
    findings.push(worn.wornPercent >= 90
      ? { check: 'disk wear', level: 'warn', what: `${worn.device} has used ${worn.wornPercent > 100 ? 'more than all' : `up to ${String(worn.wornPercent)} %`} of its life`, why: 'it may fail without further notice', fix: 'cleat backup, then move to another disk' }
      : { check: 'disk wear', level: 'ok', what: `${worn.device} has used up to ${String(worn.wornPercent)} % of its life` });
  }
  return model === undefined ? findings : [{ check: 'board', level: 'ok', what: model }, ...findings];
};
