import { formatQuantity, isQuantity, parseQuantity } from '../../meta/quantity.ts';
import { CelError } from '../errors.ts';
import { define, type Overload } from '../functions.ts';
import { Opaque } from '../values.ts';

const nanosPerUnit = 1_000_000_000n;

class Quantity extends Opaque {
  readonly typeName = 'kubernetes.Quantity';
  readonly nanos: bigint;
  constructor(nanos: bigint) { super(); this.nanos = nanos; }
  equals(other: Opaque): boolean { return other instanceof Quantity && other.nanos === this.nanos; }
}

const order = (a: Quantity, b: Quantity): bigint => (a.nanos < b.nanos ? -1n : a.nanos > b.nanos ? 1n : 0n);

/** Source: https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-quantity-library */
export const quantities: readonly Overload[] = [
  define('quantity(string): kubernetes.Quantity', (text: string) => {
    if (!isQuantity(text)) throw new CelError(`quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'`);
    return new Quantity(parseQuantity(text));
  }),
  define('isQuantity(string): bool', (text: string) => isQuantity(text)),
  define('kubernetes.Quantity.sign(): int', ({ nanos }: Quantity) => (nanos < 0n ? -1n : nanos > 0n ? 1n : 0n)),
  define('kubernetes.Quantity.isInteger(): bool', ({ nanos }: Quantity) => nanos % nanosPerUnit === 0n),
  define('kubernetes.Quantity.asInteger(): int', ({ nanos }: Quantity) => {
    if (nanos % nanosPerUnit !== 0n) throw new CelError('cannot convert value to integer');
    return nanos / nanosPerUnit;
  }),
  define('kubernetes.Quantity.asApproximateFloat(): double', ({ nanos }: Quantity) => Number(nanos) / 1e9),
  define('kubernetes.Quantity.add(kubernetes.Quantity): kubernetes.Quantity', (a: Quantity, b: Quantity) => new Quantity(a.nanos + b.nanos)),
  define('kubernetes.Quantity.add(int): kubernetes.Quantity', (a: Quantity, b: bigint) => new Quantity(a.nanos + b * nanosPerUnit)),
  define('kubernetes.Quantity.sub(kubernetes.Quantity): kubernetes.Quantity', (a: Quantity, b: Quantity) => new Quantity(a.nanos - b.nanos)),
  define('kubernetes.Quantity.sub(int): kubernetes.Quantity', (a: Quantity, b: bigint) => new Quantity(a.nanos - b * nanosPerUnit)),
  define('kubernetes.Quantity.isGreaterThan(kubernetes.Quantity): bool', (a: Quantity, b: Quantity) => order(a, b) > 0n),
  define('kubernetes.Quantity.isLessThan(kubernetes.Quantity): bool', (a: Quantity, b: Quantity) => order(a, b) < 0n),
  define('kubernetes.Quantity.compareTo(kubernetes.Quantity): int', order),
  define('string(kubernetes.Quantity): string', ({ nanos }: Quantity) => formatQuantity(nanos)),
];
