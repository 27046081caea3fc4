import { StatusError } from '#common/errors.ts';
import { deeperThan, isRecord, maxDepth, own, setOwn, type JsonRecord } from './json.ts';

/** RFC 7386. Returns a new value, which may share unchanged parts with its arguments. */
export function mergePatch(document: unknown, patch: unknown): unknown {
  refuseDeep(document, patch);
  return merge(document, patch);
}

/** Keeps every recursion over patches and documents far from the end of the stack. */
export function refuseDeep(document: unknown, patch: unknown): void {
  if (deeperThan(document, maxDepth) || deeperThan(patch, maxDepth)) {
    throw new StatusError('BadRequest', `the patch or the object nests deeper than ${maxDepth} levels`);
  }
}

function merge(document: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return patch;
  const source = isRecord(document) ? document : {};
  const result: JsonRecord = {};
  for (const key of Object.keys(source)) if (!Object.hasOwn(patch, key)) setOwn(result, key, source[key]);
  for (const key of Object.keys(patch)) {
    const value = patch[key];
    if (value !== null) setOwn(result, key, merge(own(source, key), value));
  }
  return result;
}
