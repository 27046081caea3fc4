import { integerOf, isMap, listOf, refuseValue, textOf } from './values.ts';
import type { Note } from './types.ts';

export interface PublishedPort { readonly published: number; readonly target: number; readonly protocol: 'TCP' | 'UDP' | 'SCTP' }

/** `8080:80`, `127.0.0.1:53:53/udp`, `3000-3002:3000-3002`, or a map. */
export function portsOf(value: unknown, where: string, notes: Note[]): PublishedPort[] {
  return listOf(value, where).flatMap((item, i) => {
    const at = `${where}[${String(i)}]`;
    if (isMap(item)) {
      const published = item['published'];
      return pair(published === undefined ? undefined : textOf(published, at), String(integerOf(item['target'], `${at}.target`)), item['protocol'] === undefined ? 'tcp' : textOf(item['protocol'], at), typeof item['host_ip'] === 'string' ? item['host_ip'] : undefined, at, notes);
    }
    const [, ip, published, target = '', protocol = 'tcp'] = /^(?:(?:(\[[^\]]*\]|[^:]+):)?([\d-]*):)?(\d+(?:-\d+)?)(?:\/(\w+))?$/.exec(textOf(item, at)) ?? [];
    if (target === '') throw refuseValue(at, `"${textOf(item, at)}" is no port; expected something like 8080:80 or 53:53/udp`);
    return pair(published, target, protocol, ip, at, notes);
  });
}

function pair(published: string | undefined, target: string, protocol: string, ip: string | undefined, where: string, notes: Note[]): PublishedPort[] {
  const upper = protocol.toUpperCase();
  if (upper !== 'TCP' && upper !== 'UDP' && upper !== 'SCTP') throw refuseValue(where, `"${protocol}" is no protocol of ports; expected tcp or udp`);
  if (published === undefined || published === '') {
    notes.push({ where, what: `no port of the host is named, so ${target} is not published; 'cleat port-forward' reaches it` });
    return [];
  }
  if (ip !== undefined && /^(127\.|\[?::1\]?$|localhost$)/.test(ip)) {
    // What was for one host alone must not become open to the network.
    notes.push({ where, what: `meant for ${ip} alone, so it is not published; 'cleat port-forward' reaches ${target}` });
    return [];
  }
  if (ip !== undefined && !['0.0.0.0', '[::]', '::'].includes(ip)) notes.push({ where, what: `published on every host's address, not on ${ip} alone` });
  const [outer, inner] = [range(published, where), range(target, where)];
  if (outer.length !== inner.length) throw refuseValue(where, `${published} and ${target} are not as many ports`);
  return outer.map((port, i) => ({ published: port, target: inner[i] ?? port, protocol: upper }));
}

function range(text: string, where: string): number[] {
  const [first = 0, last = first] = text.split('-').map(Number);
  if (!(first >= 1 && last >= first && last <= 65_535 && last - first < 1000)) throw refuseValue(where, `"${text}" is no range of ports`);
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}
