/** RFC 7386. Returns a new value. */
export function mergePatch(document: unknown, patch: unknown): unknown {
  void document; void patch;
  throw new Error('not built yet');
}
