import { StatusError } from '#common/errors.ts';

/** An object as `yaml`, `json` or `jsonpath=TEMPLATE`. */
export async function printObject(object: unknown, output: string): Promise<string> {
  if (output === 'json') return `${JSON.stringify(sorted(object), null, 4)}\n`;
  if (output === 'yaml') return (await import('../yaml.ts')).formatYaml(object);
  const template = /^jsonpath=([\s\S]*)$/.exec(output)?.[1];
  if (template === undefined) throw new StatusError('BadRequest', `unknown output format "${output}"`);
  const { render } = await import('./jsonpath.ts');
  return render(template.replace(/^(['"])([\s\S]*)\1$/, '$2'), object);
}

/** Keys in order, as kubectl prints them. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, item]) => [key, sorted(item)]));
}
