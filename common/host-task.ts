/** Work of the control plane on the host itself: the request of the edge contract's HOST, answered with lines of JSON. */
export type HostTask =
  /** A file comes; the first line says whether it is there already. */
  | { readonly task: 'receive'; readonly purpose: 'executable' | 'backup'; readonly name: string; readonly bytes: number; readonly sha256: string; readonly keep: number }
  /** The executable that was received takes the place of the present one, and the agent begins anew with it. */
  | { readonly task: 'upgrade'; readonly sha256: string; readonly version: string; readonly confirmMs: number };

/** What the other end reads. */
export type HostAnswer = { readonly have: boolean } | { readonly done: true; readonly message: string };

export function isHostTask(value: Readonly<Record<string, unknown>>): boolean {
  const { task, purpose, name, bytes, sha256, keep, version, confirmMs } = value;
  if (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256)) return false;
  if (task === 'upgrade') return typeof version === 'string' && /^[0-9A-Za-z.+-]{1,64}$/.test(version) && typeof confirmMs === 'number' && confirmMs > 0;
  // The name becomes a part of a path.
  return task === 'receive' && (purpose === 'executable' || purpose === 'backup') && typeof name === 'string' && /^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$/.test(name)
    && Number.isSafeInteger(bytes) && Number(bytes) >= 0 && Number.isSafeInteger(keep);
}
