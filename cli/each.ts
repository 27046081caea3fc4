import { isStatus, type StatusError } from '#common/errors.ts';
import { isAnswer } from './error-text.ts';

interface Telling<T> {
  /** Whether a failure is of one thing alone. What the server says of an object is, unless said otherwise. */
  readonly ofOne?: (error: StatusError) => boolean;
  /** What is told of it; undefined: nothing, it is no failure. */
  readonly told?: (error: StatusError, thing: T) => unknown;
}

/**
 * Does something with each of many things, one after the other. One that fails keeps the others from nothing; a failure
 * that is not of one thing alone, such as a server that is gone, ends it. Resolves with the failures to report.
 */
export async function eachOf<T>(things: Iterable<T>, work: (thing: T) => Promise<unknown>, { ofOne = isAnswer, told = (error) => error }: Telling<T> = {}): Promise<unknown[]> {
  const failures: unknown[] = [];
  for (const thing of things) {
    try {
      await work(thing);
    } catch (error) {
      if (!isStatus(error) || !ofOne(error)) throw error;
      const failure = await told(error, thing);
      if (failure !== undefined) failures.push(failure);
    }
  }
  return failures;
}
