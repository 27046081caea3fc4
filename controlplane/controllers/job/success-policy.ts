import type { SuccessPolicy } from '#api/gen/types.ts';
import { parseIndexes } from './indexes.ts';

/** Why an Indexed Job has succeeded before all of its indexes have; undefined while it has not. */
export function matchedSuccess(policy: SuccessPolicy | undefined, succeeded: ReadonlySet<number>, completions: number): string | undefined {
  const at = (policy?.rules ?? []).findIndex(({ succeededIndexes, succeededCount }) => {
    if (succeededIndexes === undefined) return succeeded.size >= (succeededCount ?? completions);
    const wanted = parseIndexes(succeededIndexes, completions);
    return [...wanted].filter((index) => succeeded.has(index)).length >= (succeededCount ?? wanted.size);
  });
  return at < 0 ? undefined : `Matched rules at index ${String(at)}`;
}
