/** As Go prints a duration in whole milliseconds: `0s`, `850ms`, `1.25s`, `2m0.5s`, `1h0m0s`. */
export function goDuration(ms: number): string {
  const whole = Math.round(ms);
  if (whole > 0 && whole < 1000) return `${String(whole)}ms`;
  const [hours, minutes, seconds] = [Math.floor(whole / 3_600_000), Math.floor(whole / 60_000) % 60, (whole % 60_000) / 1000];
  return `${hours > 0 ? `${String(hours)}h` : ''}${hours > 0 || minutes > 0 ? `${String(minutes)}m` : ''}${String(seconds)}s`;
}
