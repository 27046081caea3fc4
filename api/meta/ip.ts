/** IP addresses as text. Leading zeros are refused: programs disagree on what they mean. */

export function isIPv4(text: string): boolean {
  return /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/.test(text);
}

export function isIPv6(text: string): boolean {
  if (text.length > 45 || !text.includes(':') || text.includes(':::')) return false;
  const halves = text.split('::');
  if (halves.length > 2) return false;
  let groups = 0;
  for (const [side, half] of halves.entries()) {
    const parts = half === '' ? [] : half.split(':');
    for (const [index, part] of parts.entries()) {
      const last = side === halves.length - 1 && index === parts.length - 1;
      if (last && isIPv4(part)) groups += 2;
      else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups += 1;
      else return false;
    }
  }
  return halves.length === 2 ? groups < 8 : groups === 8;
}

export function isIP(text: string): boolean {
  return isIPv4(text) || isIPv6(text);
}

export function isCIDR(text: string): boolean {
  const [address = '', bits = '', ...rest] = text.split('/');
  if (rest.length > 0 || !/^(0|[1-9][0-9]{0,2})$/.test(bits)) return false;
  return isIPv4(address) ? Number(bits) <= 32 : isIPv6(address) && Number(bits) <= 128;
}

/** For rules.ts: undefined, or Kubernetes' message. */
export function ipProblem(text: string): string | undefined {
  return isIP(text) ? undefined : 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';
}

export function cidrProblem(text: string): string | undefined {
  return isCIDR(text) ? undefined : 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)';
}

/** Addresses that cannot be the endpoint of a Service. */
export function specialAddressProblem(text: string): string | undefined {
  if (text === '0.0.0.0' || text === '::') return 'may not be unspecified';
  if (text.startsWith('127.') || text === '::1') return 'may not be in the loopback range (127.0.0.0/8, ::1/128)';
  if (text.startsWith('169.254.') || /^fe[89ab][0-9a-f]:/i.test(text)) return 'may not be in the link-local range (169.254.0.0/16,fe80::/10)';
  if (text.startsWith('224.0.0.') || /^ff02:/i.test(text)) return 'may not be in the link-local multicast range (224.0.0.0/24,ff02::/10)';
  return undefined;
}

/** An address as one number of 32 or 128 bits. */
export function ipToBigInt(text: string): bigint {
  if (isIPv4(text)) return text.split('.').reduce((sum, octet) => sum * 256n + BigInt(octet), 0n);
  const groups = (half: string): string[] => (half === '' ? [] : half.split(':').flatMap((part) => {
    if (!part.includes('.')) return [part];
    const value = ipToBigInt(part);
    return [(value >> 16n).toString(16), (value & 0xffffn).toString(16)];
  }));
  const [head = '', tail] = text.split('::');
  const [before, after] = [groups(head), tail === undefined ? [] : groups(tail)];
  const all = [...before, ...Array.from({ length: tail === undefined ? 0 : 8 - before.length - after.length }, () => '0'), ...after];
  return all.reduce((sum, group) => sum * 65_536n + BigInt(`0x${group}`), 0n);
}

/** True when the range `inner` is a part of `outer` and smaller. Both must be valid. */
export function isStrictSubnet(inner: string, outer: string): boolean {
  const parse = (cidr: string): { value: bigint; bits: number; size: number } => {
    const [address = '', bits = '0'] = cidr.split('/');
    return { value: ipToBigInt(address), bits: Number(bits), size: isIPv4(address) ? 32 : 128 };
  };
  const [a, b] = [parse(inner), parse(outer)];
  const shift = BigInt(b.size - b.bits);
  return a.size === b.size && a.bits > b.bits && a.value >> shift === b.value >> shift;
}

/** What `ipToBigInt` made into a number, as text again; IPv6 as RFC 5952 writes it. */
export function bigIntToIp(value: bigint, family: 4 | 6): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 255n)).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(112 - 16 * i)) & 0xffffn));
  // The longest run of zeros, if it has two or more, becomes `::`.
  let [best, length] = [-1, 1];
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > length) [best, length] = [i, end - i];
  }
  const text = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':');
  return best < 0 ? text(groups) : `${text(groups.slice(0, best))}::${text(groups.slice(best + length))}`;
}

/** An address as it is written once for all, so that two can be compared as text. It must be valid. */
export function canonicalIp(text: string): string {
  return bigIntToIp(ipToBigInt(text), isIPv4(text) ? 4 : 6);
}

/** A range with its first address written once for all. It must be valid. */
export function canonicalCidr(text: string): string {
  const [address = '', bits = ''] = text.split('/');
  const family = isIPv4(address) ? 4 : 6;
  const shift = BigInt((family === 4 ? 32 : 128) - Number(bits));
  return `${bigIntToIp((ipToBigInt(address) >> shift) << shift, family)}/${bits}`;
}

/** What is said, in Kubernetes' words, of a valid address that is written in an unusual way. */
export function ipWarnings(field: string, text: string): string[] {
  return isIPv6(text) && canonicalIp(text) !== text ? [`${field}: IPv6 address ${JSON.stringify(text)} should be in RFC 5952 canonical format (${JSON.stringify(canonicalIp(text))})`] : [];
}

/** The same of a range, also where its address may have been meant alone. */
export function cidrWarnings(field: string, text: string): string[] {
  const [address = '', bits = ''] = text.split('/');
  const range = canonicalCidr(text);
  const own = `${canonicalIp(address)}/${bits}`;
  if (range !== own) return [`${field}: CIDR value ${JSON.stringify(text)} is ambiguous in this context (should be ${JSON.stringify(range)} or ${JSON.stringify(`${canonicalIp(address)}/${isIPv4(address) ? '32' : '128'}`)}?)`];
  return isIPv6(address) && own !== text ? [`${field}: IPv6 CIDR value ${JSON.stringify(text)} should be in RFC 5952 canonical format (${JSON.stringify(own)})`] : [];
}
