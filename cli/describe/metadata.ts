import type { ObjectMeta } from '#api/gen/types.ts';
import type { DescribeWriter } from './writer.ts';

const skippedAnnotations = new Set(['kubectl.kubernetes.io/last-applied-configuration']);
const maxAnnotationLength = 140;

export function describeName(writer: DescribeWriter, metadata: ObjectMeta | undefined): void {
  writer.row(0, 'Name:', metadata?.name ?? '');
  if (metadata?.namespace !== undefined) writer.row(0, 'Namespace:', metadata.namespace);
}

export function describeLabels(writer: DescribeWriter, metadata: ObjectMeta | undefined): void {
  writer.list('Labels', pairs(metadata?.labels));
  describeAnnotations(writer, 'Annotations', metadata?.annotations);
}

/** Long annotations and those of several lines go below their key. */
export function describeAnnotations(writer: DescribeWriter, title: string, annotations: Readonly<Record<string, string>> | undefined): void {
  const shown = Object.entries(annotations ?? {}).filter(([key]) => !skippedAnnotations.has(key)).sort(byKey);
  writer.list(title, shown.flatMap(([key, text]) => {
    const value = text.replace(/\n$/, '');
    if (key.length + value.length + 2 <= maxAnnotationLength && !value.includes('\n')) return [`${key}: ${value}`];
    return [`${key}:`, ...value.split('\n').map((line) => `  ${shortened(line, maxAnnotationLength - 2)}`)];
  }));
}

function shortened(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length)}...` : text;
}

/** `key=value`, sorted. */
export function pairs(map: Readonly<Record<string, string>> | undefined): string[] {
  return Object.entries(map ?? {}).sort(byKey).map(([key, value]) => `${key}=${value}`);
}

export function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}

/** `Deployment/web`: the owner that manages the object. */
export function controllerOf(metadata: ObjectMeta | undefined): string | undefined {
  const owner = metadata?.ownerReferences?.find(({ controller }) => controller === true);
  return owner && `${owner.kind}/${owner.name}`;
}

const weekdays = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** `Sat, 21 Nov 2026 03:49:09 +0000`, in this host's time zone (RFC 1123 with a numeric zone). */
export function rfc1123(time: string | undefined): string {
  const at = new Date(time ?? NaN);
  if (Number.isNaN(at.getTime())) return '<unset>';
  const two = (value: number): string => String(value).padStart(2, '0');
  const zone = -at.getTimezoneOffset();
  return `${weekdays[at.getDay()] ?? ''}, ${two(at.getDate())} ${months[at.getMonth()] ?? ''} ${String(at.getFullYear())} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())} `
    + `${zone < 0 ? '-' : '+'}${two(Math.floor(Math.abs(zone) / 60))}${two(Math.abs(zone) % 60)}`;
}
