import type { Pod } from '#api/gen/types.ts';
import { formatQuantity, parseQuantity } from '#api/meta/quantity.ts';

export type Kind = 'requests' | 'limits';

export interface Amount {
  readonly nanos: bigint;
  readonly binary: boolean;
  readonly text: string;
}

function amount(nanos: bigint, binary: boolean): Amount {
  return { nanos, binary, text: formatQuantity(nanos, binary ? 'BinarySI' : 'DecimalSI') };
}

export function sum(amounts: readonly Amount[]): Amount {
  return amount(amounts.reduce((total, { nanos }) => total + nanos, 0n), amounts.some(({ binary }) => binary));
}

/** The larger of all containers together (sidecars included) and the greediest init container. */
export function podAmount({ spec }: Pod, kind: Kind, resource: string): Amount {
  const of = (container: { resources?: { requests?: Record<string, string> | undefined; limits?: Record<string, string> | undefined } | undefined }): Amount => {
    const text = container.resources?.[kind]?.[resource] ?? '0';
    return amount(parseQuantity(text), text.endsWith('i'));
  };
  const init = spec?.initContainers ?? [];
  const running = sum([...(spec?.containers ?? []), ...init.filter(({ restartPolicy }) => restartPolicy === 'Always')].map(of));
  return init.map(of).reduce((largest, next) => (next.nanos > largest.nanos ? next : largest), running);
}
