/** RFC 6902. Returns a new value. A malformed patch is BadRequest, one that cannot be applied is Invalid. */
export function jsonPatch(document: unknown, operations: unknown): unknown {
  void document; void operations;
  throw new Error('not built yet');
}
