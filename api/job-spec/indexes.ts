/** Text such as `1,3-5,7`: indexes of an Indexed Job, in order. */

export interface IndexProblem { readonly problem: string }

/** How many indexes a text names, all of them below `completions`; or what is wrong with it. */
export function countIndexes(text: string, completions: number): number | IndexProblem {
  if (text === '') return 0;
  let count = 0;
  let last: number | undefined;
  for (const interval of text.split(',')) {
    const limits = interval.split('-');
    if (limits.length > 2) return { problem: `the fragment ${JSON.stringify(interval)} violates the requirement that an index interval can have at most two parts separated by '-'` };
    const [first = '', second] = limits;
    for (const limit of limits) if (!/^[0-9]{1,9}$/.test(limit)) return { problem: `cannot convert string to integer for index: ${JSON.stringify(limit)}` };
    const start = Number(first);
    const end = second === undefined ? start : Number(second);
    if (last !== undefined && start <= last) return { problem: `non-increasing order, previous: ${last}, current: ${start}` };
    if (start >= completions) return { problem: `too large index: ${JSON.stringify(first)}` };
    if (second !== undefined && end <= start) return { problem: `non-increasing order, previous: ${start}, current: ${end}` };
    if (end >= completions) return { problem: `too large index: ${JSON.stringify(second ?? first)}` };
    count += end - start + 1;
    last = end;
  }
  return count;
}
