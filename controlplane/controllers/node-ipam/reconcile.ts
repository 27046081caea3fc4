import { StatusError } from '#common/errors.ts';

/** An IPv4 range as numbers. */
interface Range { readonly start: number; readonly bits: number }

function parseRange(cidr: string): Range | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(cidr);
  if (!match) return undefined;
  const [a = 0, b = 0, c = 0, d = 0, bits = 0] = match.slice(1).map(Number);
  if (Math.max(a, b, c, d) > 255 || bits > 32) return undefined;
  const size = 2 ** (32 - bits);
  return { start: Math.floor(((a * 256 + b) * 256 + c) * 256 + d), bits: bits === 32 ? 32 : 32 - Math.log2(size) };
}

function format(start: number, bits: number): string {
  return `${[24, 16, 8, 0].map((shift) => Math.floor(start / 2 ** shift) % 256).join('.')}/${String(bits)}`;
}

/** The lowest range of `maskSize` bits within `cidr` that overlaps none of `used`; undefined when all are taken. */
export function nextRange(cidr: string, maskSize: number, used: Iterable<string>): string | undefined {
  const whole = parseRange(cidr);
  if (!whole || maskSize < whole.bits || maskSize > 30) {
    throw new StatusError('Invalid', `cannot cut ranges of /${String(maskSize)} for nodes from the pod range ${cidr}: choose a larger --pod-cidr`);
  }
  const step = 2 ** (32 - maskSize);
  const base = whole.start - (whole.start % 2 ** (32 - whole.bits));
  const count = 2 ** (maskSize - whole.bits);
  const taken = new Set<number>();
  for (const range of used) {
    const parsed = parseRange(range);
    if (!parsed) continue;
    const first = Math.floor((parsed.start - base) / step);
    const last = Math.floor((parsed.start + 2 ** (32 - parsed.bits) - 1 - base) / step);
    for (let i = Math.max(0, first); i <= Math.min(count - 1, last); i++) taken.add(i);
  }
  for (let i = 0; i < count; i++) if (!taken.has(i)) return format(base + i * step, maskSize);
  return undefined;
}
