import { quantityProblem } from './quantity.ts';

const dateTime = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:[.,]\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;

/** What is wrong with a string of a format, or undefined. Formats that are not known pass. */
export function formatProblem(format: string, text: string): string | undefined {
  switch (format) {
    case 'quantity': return quantityProblem(text);
    case 'byte': return isBase64(text) ? undefined : 'must be base64 (RFC 4648, with padding)';
    case 'date-time': return isDateTime(text) ? undefined : 'must be a time as in RFC 3339, e.g. 2006-01-02T15:04:05Z';
    default: return undefined;
  }
}

export function isBase64(text: string): boolean {
  // Line breaks are allowed, as Go's decoder allows them.
  const compact = /[\r\n]/.test(text) ? text.replaceAll(/[\r\n]/g, '') : text;
  return compact.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(compact);
}

export function isDateTime(text: string): boolean {
  const match = dateTime.exec(text);
  if (match === null) return false;
  const [, year, month, day] = match.map(Number);
  const date = new Date(Date.UTC(year ?? 0, (month ?? 0) - 1, day));
  // Refuses days that a month lacks, which Date would carry over into the next.
  return date.getUTCDate() === day && !Number.isNaN(Date.parse(text.replace(',', '.')));
}

/** As Kubernetes writes a time: in UTC, whole seconds, or six digits of a second where those matter. The text must be a time. */
export function canonicalTime(text: string, hasMicroseconds: boolean): string {
  if (text.endsWith('Z') && text.length === (hasMicroseconds ? 27 : 20)) return text;
  const seconds = new Date(Math.floor(Date.parse(text.replace(',', '.')) / 1000) * 1000).toISOString().slice(0, 19);
  return hasMicroseconds ? `${seconds}.${(/[.,](\d{1,6})/.exec(text)?.[1] ?? '').padEnd(6, '0')}Z` : `${seconds}Z`;
}
