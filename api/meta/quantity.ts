export type QuantityFormat = 'BinarySI' | 'DecimalSI' | 'DecimalExponent';

/** Nano units, exact: `1` is 1_000_000_000n. Finer fractions are rounded up, as Kubernetes does. Bad text throws BadRequest. */
export function parseQuantity(text: string | number): bigint {
  void text;
  throw new Error('not built yet');
}

export function isQuantity(text: unknown): boolean {
  void text;
  throw new Error('not built yet');
}

/** CPU in thousandths of a core, rounded up. */
export function cpuMillis(text: string | number): number {
  void text;
  throw new Error('not built yet');
}

/** Bytes, or a count; rounded up. */
export function quantityValue(text: string | number): number {
  void text;
  throw new Error('not built yet');
}

/** The canonical text of `nanos`: the largest suffix that leaves no fraction. */
export function formatQuantity(nanos: bigint, format: QuantityFormat = 'DecimalSI'): string {
  void nanos; void format;
  throw new Error('not built yet');
}

/** `1000m` → `1`, `0.5` → `500m`, `1024Ki` → `1Mi`. */
export function canonicalQuantity(text: string | number): string {
  void text;
  throw new Error('not built yet');
}

/** Negative, 0 or positive, as `sort` wants it. */
export function compareQuantities(a: string | number, b: string | number): number {
  void a; void b;
  throw new Error('not built yet');
}
