import { cpuMillis, quantityValue } from '#api/meta/quantity.ts';

type ResourceList = Readonly<Record<string, string>> | undefined;

export function cpuMillisOf(list: ResourceList): number | undefined {
  const text = list?.['cpu'];
  return text === undefined ? undefined : cpuMillis(text);
}

export function memoryBytesOf(list: ResourceList): number | undefined {
  const text = list?.['memory'];
  return text === undefined ? undefined : quantityValue(text);
}
