import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalQuantity, compareQuantities, cpuMillis, formatQuantity, isQuantity, parseQuantity, quantityValue } from './quantity.ts';

describe('quantities', () => {
  it.each([
    ['0', '0'], ['0Mi', '0'], ['1000m', '1'], ['0.5', '500m'], ['.5', '500m'], ['1.', '1'], ['1024Ki', '1Mi'], ['1.5Gi', '1536Mi'], ['100000', '100k'],
    ['1e3', '1e3'], ['12E6', '12e6'], ['1E', '1E'], ['-1.5', '-1500m'], ['0.1n', '1n'], ['+2', '2'], ['1023Ki', '1023Ki'], ['512Ki', '512Ki'],
    ['0.5Ki', '512'], ['1e99', '9223372036854775807'],
  ])('writes %s as %s', (text, canonical) => {
    expect(canonicalQuantity(text)).toBe(canonical);
    expect(canonicalQuantity(canonical)).toBe(canonical);
  });

  it.each(['', ' ', '1x', 'Mi', '1.1.1', '1e', '1 Gi', '--1', '1e1.5', '0x10', 'NaN', '1KiB', '9'.repeat(200), '1e99999999999'])('refuses %j', (text) => {
    expect(isQuantity(text)).toBe(false);
    expect(() => parseQuantity(text)).toThrow(expect.objectContaining({ code: 'BadRequest' }));
  });

  it('rounds up to millicores, bytes and counts', () => {
    expect([cpuMillis('1'), cpuMillis('100m'), cpuMillis('1u'), cpuMillis(0.25)]).toEqual([1000, 100, 1, 250]);
    expect([quantityValue('1Ki'), quantityValue('1500m'), quantityValue('2G')]).toEqual([1024, 2, 2_000_000_000]);
  });

  it('compares across suffixes', () => {
    expect(Math.sign(compareQuantities('1Gi', '1G'))).toBe(1);
    expect(compareQuantities('1000m', '1')).toBe(0);
    expect(Math.sign(compareQuantities('1', '1.1'))).toBe(-1);
  });

  it('reads back what it writes', () => {
    fc.assert(fc.property(fc.bigInt({ min: -(10n ** 24n), max: 10n ** 24n }), fc.constantFrom('DecimalSI', 'DecimalExponent'), (nanos, format) => {
      expect(parseQuantity(formatQuantity(nanos, format))).toBe(nanos);
    }));
  });
});
