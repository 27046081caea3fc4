import { StatusError } from '#common/errors.ts';

/**
 * Kubernetes' quantities: a number with a decimal suffix (`500m`, `2G`), a binary one (`64Mi`) or an exponent (`1e3`).
 * Source: k8s.io/apimachinery/pkg/api/resource (format and limits).
 */
export type QuantityFormat = 'BinarySI' | 'DecimalSI' | 'DecimalExponent';

const nanosPerUnit = 1_000_000_000n;
/** Values are capped here, as Kubernetes does. */
const maxNanos = (2n ** 63n - 1n) * nanosPerUnit;
const maxTextLength = 100;
const maxExponent = 40;

const shape = /^([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)$/;
const decimalSuffixes = new Map([['n', -9], ['u', -6], ['m', -3], ['', 0], ['k', 3], ['M', 6], ['G', 9], ['T', 12], ['P', 15], ['E', 18]]);
const binarySuffixes = new Map([['Ki', 10n], ['Mi', 20n], ['Gi', 30n], ['Ti', 40n], ['Pi', 50n], ['Ei', 60n]]);
const suffixOfExponent = new Map([...decimalSuffixes].map(([suffix, exponent]) => [exponent, suffix]));

export const quantityPatternText = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
export const quantitySuffixText = "unable to parse quantity's suffix";

interface Parsed { readonly nanos: bigint; readonly format: QuantityFormat }

function divideUp(a: bigint, b: bigint): bigint {
  const quotient = a / b;
  if (a % b === 0n) return quotient;
  // Away from zero, so that a small request never becomes none.
  return a > 0n ? quotient + 1n : quotient - 1n;
}

function scaleOf(suffix: string): { multiplier: bigint; exponent: number; format: QuantityFormat } | undefined {
  const binary = binarySuffixes.get(suffix);
  if (binary !== undefined) return { multiplier: 2n ** binary, exponent: 0, format: 'BinarySI' };
  const decimal = decimalSuffixes.get(suffix);
  if (decimal !== undefined) return { multiplier: 1n, exponent: decimal, format: 'DecimalSI' };
  if (!/^[eE][-+]?[0-9]{1,9}$/.test(suffix)) return undefined;
  const exponent = Number(suffix.slice(1));
  return { multiplier: 1n, exponent: Math.max(-maxExponent, Math.min(maxExponent, exponent)), format: 'DecimalExponent' };
}

/** The value, or the message that says what is wrong with the text. */
function read(input: string | number): Parsed | string {
  const text = String(input).trim();
  const match = text.length <= maxTextLength ? shape.exec(text) : null;
  const whole = match?.[2] ?? '';
  const fraction = match?.[3] ?? '';
  if (match === null || whole + fraction === '') return quantityPatternText;
  const scale = scaleOf(match[4] ?? '');
  if (scale === undefined) return quantitySuffixText;
  const digits = BigInt(whole + fraction) * scale.multiplier * nanosPerUnit;
  const exponent = scale.exponent - fraction.length;
  const exact = exponent >= 0 ? digits * 10n ** BigInt(exponent) : divideUp(digits, 10n ** BigInt(-exponent));
  const capped = exact > maxNanos ? maxNanos : exact;
  return { nanos: match[1] === '-' ? -capped : capped, format: scale.format };
}

function readOrThrow(text: string | number): Parsed {
  const parsed = read(text);
  if (typeof parsed === 'string') throw new StatusError('BadRequest', `${JSON.stringify(text)} is not a quantity: ${parsed}`);
  return parsed;
}

/** Nano units, exact: `1` is 1_000_000_000n. Finer fractions are rounded up, as Kubernetes does. Bad text throws BadRequest. */
export function parseQuantity(text: string | number): bigint {
  return readOrThrow(text).nanos;
}

/** What is wrong with `text`, in Kubernetes' words; undefined when it is a quantity. */
export function quantityProblem(text: unknown): string | undefined {
  if (typeof text !== 'string' && typeof text !== 'number') return quantityPatternText;
  const parsed = read(text);
  return typeof parsed === 'string' ? parsed : undefined;
}

export function isQuantity(text: unknown): boolean {
  return quantityProblem(text) === undefined;
}

/** CPU in thousandths of a core, rounded up. */
export function cpuMillis(text: string | number): number {
  return Number(divideUp(parseQuantity(text), 1_000_000n));
}

/** Bytes, or a count; rounded up. */
export function quantityValue(text: string | number): number {
  return Number(divideUp(parseQuantity(text), nanosPerUnit));
}

/** The canonical text of `nanos`: the largest suffix that leaves no fraction. */
export function formatQuantity(nanos: bigint, format: QuantityFormat = 'DecimalSI'): string {
  if (nanos === 0n) return '0';
  const small = nanos > -1024n * nanosPerUnit && nanos < 1024n * nanosPerUnit;
  return format === 'BinarySI' && !small ? formatBinary(divideUp(nanos, nanosPerUnit)) : formatDecimal(nanos, format);
}

function formatBinary(units: bigint): string {
  let best = '';
  let divisor = 1n;
  for (const [suffix, bits] of binarySuffixes) {
    if (units % 2n ** bits !== 0n) break;
    best = suffix;
    divisor = 2n ** bits;
  }
  return `${units / divisor}${best}`;
}

function formatDecimal(nanos: bigint, format: QuantityFormat): string {
  let mantissa = nanos;
  let exponent = -9;
  while (exponent < 18 && mantissa % 1000n === 0n) {
    mantissa /= 1000n;
    exponent += 3;
  }
  if (format !== 'DecimalExponent') return `${mantissa}${suffixOfExponent.get(exponent) ?? ''}`;
  return exponent === 0 ? String(mantissa) : `${mantissa}e${exponent}`;
}

/** `1000m` → `1`, `0.5` → `500m`, `1024Ki` → `1Mi`. */
export function canonicalQuantity(text: string | number): string {
  const { nanos, format } = readOrThrow(text);
  return formatQuantity(nanos, format);
}

/** Negative, 0 or positive, as `sort` wants it. */
export function compareQuantities(a: string | number, b: string | number): number {
  const difference = parseQuantity(a) - parseQuantity(b);
  return difference < 0n ? -1 : Number(difference > 0n);
}
