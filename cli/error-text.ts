import { isStatus, messageOf } from '#common/errors.ts';

/** What a person reads of a failure, as kubectl words it. */
export function errorText(error: unknown): string {
  return isStatus(error) && error.details?.kind !== undefined ? `Error from server (${error.code}): ${error.message}` : `error: ${messageOf(error)}`;
}
