import { messageOf, StatusError } from '#common/errors.ts';

export function refuse(message: string): StatusError {
  return new StatusError('BadRequest', message);
}

/** The same failure, told with what was being done. */
export function within(what: string, error: unknown): StatusError {
  return new StatusError('BadRequest', `${what}: ${messageOf(error)}`, { cause: error });
}
