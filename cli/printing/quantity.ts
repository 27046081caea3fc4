import { cpuMillis, quantityValue } from '#api/meta/quantity.ts';

/** CPU as `top` shows it: `80m`. */
export function cores(quantity: string): string {
  return `${String(cpuMillis(quantity))}m`;
}

/** Memory as `top` shows it: `763Mi`. */
export function mebi(quantity: string): string {
  return mebiOf(quantityValue(quantity));
}

export function mebiOf(bytes: number): string {
  return `${String(Math.floor(bytes / 2 ** 20))}Mi`;
}
