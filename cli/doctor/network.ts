import { Resolver } from 'node:dns/promises';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { request } from 'node:https';
import { messageOf } from '#common/errors.ts';
import type { HostReadings, Listener } from './types.ts';

/** Of one question to one server; each is asked twice. */
const lookupMs = 1500;
const answerMs = 5000;

/** Asks the servers of /etc/resolv.conf. Not through the C library, whose questions nobody can call off. */
export async function lookUp(name: string): Promise<NonNullable<HostReadings['dns']['lookup']>> {
  const before = performance.now();
  const error = await new Resolver({ timeout: lookupMs, tries: 2 }).resolve4(name).then(() => undefined, messageOf);
  return { name, error, tookMs: performance.now() - before };
}

/** Whether a control plane answers there, and how far this clock is ahead of its. Sends nothing of ours, so it need not know the certificate. */
export async function askServer(url: string, signal: AbortSignal): Promise<{ error: string | undefined; aheadMs: number | undefined }> {
  if (!URL.canParse(url)) return { error: 'that is no URL', aheadMs: undefined };
  return new Promise((resolve) => {
    const asked = request(new URL('/version', url), { rejectUnauthorized: false, timeout: answerMs, signal, agent: false }, (answer) => {
      answer.resume();
      const theirs = Date.parse(answer.headers.date ?? '');
      // The header has whole seconds.
      resolve({ error: undefined, aheadMs: Number.isNaN(theirs) ? undefined : Date.now() - theirs - 500 });
    });
    asked.on('timeout', () => { asked.destroy(new Error(`no answer within ${String(answerMs / 1000)} s`)); });
    asked.on('error', (error) => { resolve({ error: messageOf(error), aheadMs: undefined }); });
    asked.end();
  });
}

interface Socket { readonly protocol: Listener['protocol']; readonly port: number; readonly inode: string }

/** TCP ports that are listened on and UDP ports that are bound, of /proc/net. */
export function parseSockets(protocol: Listener['protocol'], table: string): Socket[] {
  return table.split('\n').slice(1).flatMap((line) => {
    const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
    const port = Number.parseInt(local.split(':').at(-1) ?? '', 16);
    // 0A: listening. Of UDP only what is not connected (07) waits for anybody.
    return Number.isNaN(port) || state !== (protocol === 'tcp' ? '0A' : '07') ? [] : [{ protocol, port, inode }];
  });
}

export async function readListeners(): Promise<Listener[]> {
  const sockets = (await Promise.all((['tcp', 'udp'] as const).flatMap((protocol) => ['', '6'].map(async (family) => parseSockets(protocol, await readFile(`/proc/net/${protocol}${family}`, 'utf8').catch(() => '')))))).flat();
  const programs = await programsOf(new Set(sockets.map(({ inode }) => inode)));
  return sockets.map(({ protocol, port, inode }) => ({ protocol, port, program: programs.get(inode) }));
}

/** Which program has which socket, of those that this user may look at. */
async function programsOf(inodes: ReadonlySet<string>): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      const inode = /^socket:\[(\d+)\]$/.exec(await readlink(`/proc/${pid}/fd/${fd}`).catch(() => ''))?.[1];
      if (inode === undefined || !inodes.has(inode) || found.has(inode)) continue;
      found.set(inode, (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim());
    }
  }
  return found;
}
