/** A duration as kubectl prints ages: two units while small (`3m12s`), one when large (`45d`). */
export function humanAge(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  const two = (large: number, largeUnit: string, small: number, smallUnit: string): string => `${String(large)}${largeUnit}${small > 0 ? `${String(small)}${smallUnit}` : ''}`;
  if (seconds < 120) return `${String(seconds)}s`;
  if (minutes < 10) return two(minutes, 'm', seconds % 60, 's');
  if (minutes < 180) return `${String(minutes)}m`;
  if (hours < 8) return two(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return `${String(hours)}h`;
  if (days < 8) return two(days, 'd', hours % 24, 'h');
  if (days < 730) return `${String(days)}d`;
  return two(Math.floor(days / 365), 'y', days % 365, 'd');
}
