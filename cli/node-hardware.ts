import { throttlingOf, type Hardware } from '#common/hardware.ts';
import type { RestClient } from './client.ts';

const longestMs = 5000;

/** What the node's own metrics tell of its body; nothing of a node that does not answer soon. */
export async function nodeHardware(client: RestClient, name: string, signal: AbortSignal): Promise<Hardware> {
  try {
    const { body } = await client.request('GET', `/api/v1/nodes/${encodeURIComponent(name)}/proxy/metrics`, { signal: AbortSignal.any([signal, AbortSignal.timeout(longestMs)]) });
    return parseHardware(body);
  } catch {
    // A courtesy, like the load: it must not keep the rest from being shown.
    return {};
  }
}

/** Of metrics in Prometheus' text form. */
export function parseHardware(text: string): Hardware {
  const value = (name: string): number | undefined => {
    const found = new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+(?:\\.\\d+)?)$`, 'm').exec(text)?.[1];
    return found === undefined ? undefined : Number(found);
  };
  const [celsius, throttled, worn] = [value('cleat_node_temperature_celsius'), value('cleat_node_throttled'), value('cleat_node_disk_worn_ratio')];
  const device = /^cleat_node_disk_worn_ratio\{device="([\w-]+)"\}/m.exec(text)?.[1] ?? '';
  return { ...(celsius !== undefined && { celsius }), ...(throttled !== undefined && { throttled }), ...(worn !== undefined && { disk: { device, wornPercent: Math.round(worn * 100) } }) };
}

/** `61C`, `84C throttled`; `-` where the host does not tell. */
export function temperatureText({ celsius, throttled }: Hardware): string {
  const { now } = throttlingOf(throttled ?? 0);
  return [...(celsius === undefined ? [] : [`${celsius.toFixed(0)}C`]), ...now].join(',') || '-';
}

/** How much of the most worn disk's life is used, in steps of ten: `30%`. */
export function wearText({ disk }: Hardware): string {
  return disk === undefined ? '-' : disk.wornPercent > 100 ? '>100%' : `${String(disk.wornPercent)}%`;
}
