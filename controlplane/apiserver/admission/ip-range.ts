/**
 * The addresses or ports that can be handed out: `size` numbers from `base`. Kubernetes keeps the lower band
 * for those asked for by name and hands out the others from above it, so that the two seldom meet.
 */
export class NumberPool {
  readonly #base: number;
  readonly #size: number;
  readonly #lowerBand: number;
  readonly #owners = new Map<number, string>();
  readonly #reserved: ReadonlySet<number>;
  #cursor: number;

  constructor(base: number, size: number, lowerBand: number, reserved: Iterable<number> = []) {
    this.#base = base;
    this.#size = size;
    this.#lowerBand = Math.min(lowerBand, size - 1);
    this.#reserved = new Set(reserved);
    this.#cursor = this.#lowerBand;
  }

  contains(value: number): boolean {
    return value >= this.#base && value < this.#base + this.#size;
  }

  ownerOf(value: number): string | undefined {
    return this.#owners.get(value);
  }

  /** False when someone else holds it. */
  take(value: number, owner: string): boolean {
    const holder = this.#owners.get(value);
    if (holder !== undefined && holder !== owner) return false;
    this.#owners.set(value, owner);
    return true;
  }

  /** The next free number: round the upper band, so that a freed one rests a while, then the lower. */
  next(owner: string): number | undefined {
    const upper = this.#size - this.#lowerBand;
    for (let i = 0; i < this.#size; i++) {
      const inUpper = i < upper;
      const offset = inUpper ? this.#lowerBand + ((this.#cursor - this.#lowerBand + i) % upper) : this.#size - 1 - i;
      const value = this.#base + offset;
      if (this.#owners.has(value) || this.#reserved.has(value)) continue;
      if (inUpper) this.#cursor = this.#lowerBand + ((offset + 1 - this.#lowerBand) % upper);
      this.#owners.set(value, owner);
      return value;
    }
    return undefined;
  }

  /** Gives back, if `owner` still holds it. */
  release(value: number, owner: string): void {
    if (this.#owners.get(value) === owner) this.#owners.delete(value);
  }
}
