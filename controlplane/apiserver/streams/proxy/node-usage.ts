import type { Usage } from '../../types.ts';

/** A pod's use, from its containers'. CPU time is left out where one of them does not tell it. */
export function sumOf(containers: readonly Usage[]): Usage {
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const seconds = containers.flatMap(({ cpuSeconds }) => cpuSeconds ?? []);
  return {
    cpuMillis: sum(containers.map(({ cpuMillis }) => cpuMillis)), memoryBytes: sum(containers.map(({ memoryBytes }) => memoryBytes)),
    ...(seconds.length === containers.length && { cpuSeconds: sum(seconds) }),
  };
}
