const words = new Set([
  '', '~', 'null', 'Null', 'NULL',
  ...['y', 'yes', 'true', 'on', 'n', 'no', 'false', 'off'].flatMap((word) => [word, (word[0] ?? '').toUpperCase() + word.slice(1), word.toUpperCase()]),
  '.nan', '.NaN', '.NAN', ...['', '+', '-'].flatMap((sign) => ['.inf', '.Inf', '.INF'].map((word) => sign + word)),
]);
const float = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/;
const integer = /^[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]*|[1-9][0-9]*)$/;
const base60 = /^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$/;
const timestamp = /^(\d{4}-\d{1,2}-\d{1,2})(?:[Tt]\d{1,2}:\d{1,2}:\d{1,2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})| \d{1,2}:\d{1,2}:\d{1,2}(?:\.\d+)?)?$/;

/** True for text that YAML 1.1 would read as something else when it stands without quotes. */
export function needsQuotes(text: string): boolean {
  if (words.has(text)) return true;
  if (!/^[-+.\d]/.test(text)) return false;
  const plain = text.replaceAll('_', '');
  return integer.test(plain) || float.test(plain) || base60.test(text) || isDate(timestamp.exec(text)?.[1]);
}

/** True for year, month and day of a day that there was or will be. */
export function isDate(text: string | undefined): boolean {
  const [year = 0, month = 0, day = 0] = (text ?? '').split('-').map(Number);
  const date = new Date(Date.UTC(2000, month - 1, day));
  date.setUTCFullYear(year, month - 1, day);
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day && day > 0;
}
