/**
 * Which clients session affinity has sent where, as `nft list sets` prints it: set name → elements to add again.
 * Taken along when the table is replaced, so that an agent's restart does not move clients to other endpoints.
 */
export function parseAffinity(text: string, tableName: string, affinitySeconds: (set: string) => number | undefined): Map<string, string[]> {
  const result = new Map<string, string[]>();
  const table = text.split(/^table /m).find((t) => t.split(/\s/)[1] === tableName) ?? '';
  for (const [, name = '', body = ''] of table.matchAll(/^\tset (aff\/\S+) \{\n(.*?)^\t\}/gms)) {
    const limit = affinitySeconds(name);
    if (limit === undefined) continue;
    const elements = [...body.matchAll(/([0-9a-f.:]+) (?:timeout \S+ )?expires (\S+?)[,\s]/g)]
      .map(([, address = '', expires = '']) => `${address} expires ${String(Math.max(1, Math.min(limit, seconds(expires))))}s`);
    if (elements.length > 0) result.set(name, elements);
  }
  return result;
}

const unitSeconds: Readonly<Record<string, number>> = { d: 86_400, h: 3600, m: 60, s: 1, ms: 0 };

/** `2h59m58s991ms` in whole seconds. */
function seconds(duration: string): number {
  return [...duration.matchAll(/(\d+)(ms|[dhms])/g)].reduce((sum, [, count, unit = '']) => sum + Number(count) * (unitSeconds[unit] ?? 0), 0);
}
