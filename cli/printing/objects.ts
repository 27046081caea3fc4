import { StatusError } from '#common/errors.ts';

export interface ObjectPrinting {
  /** `yaml`, `json`, `name`, `jsonpath=TEMPLATE` or `custom-columns=HEADER:PATH,...`. */
  readonly output: string;
  readonly headers: boolean;
  readonly managedFields: boolean;
  /** One object that was asked for by name is printed bare, not in a List. */
  readonly single: boolean;
}

interface Printed { readonly apiVersion?: string; readonly kind?: string; readonly metadata?: { readonly name?: string; managedFields?: unknown } }

export async function printObjects(items: readonly Printed[], { output, headers, managedFields, single }: ObjectPrinting): Promise<string> {
  // Who owns which field fills screens: like kubectl, only whoever asks for it sees it. Templates choose for themselves.
  if (!managedFields && (output === 'yaml' || output === 'json')) for (const { metadata } of items) delete metadata?.managedFields;
  if (output.startsWith('custom-columns=')) return (await import('./custom-columns.ts')).customColumns(output.slice('custom-columns='.length), items, headers);
  if (output === 'name') return items.map(nameOf).join('');
  return printObject(single ? items[0] : { apiVersion: 'v1', items, kind: 'List', metadata: { resourceVersion: '' } }, output);
}

/** `deployment.apps/web`. */
function nameOf({ apiVersion = '', kind = '', metadata }: Printed): string {
  const [group = ''] = apiVersion.includes('/') ? apiVersion.split('/') : [];
  return `${kind.toLowerCase()}${group === '' ? '' : `.${group}`}/${metadata?.name ?? ''}\n`;
}

/** An object as `yaml`, `json` or `jsonpath=TEMPLATE`. */
async function printObject(object: unknown, output: string): Promise<string> {
  if (output === 'json') return `${JSON.stringify(sorted(object), null, 4)}\n`;
  if (output === 'yaml') return (await import('../yaml.ts')).formatYaml(object);
  const template = /^jsonpath=([\s\S]*)$/.exec(output)?.[1];
  if (template === undefined) throw new StatusError('BadRequest', `unknown output format "${output}"`);
  const { render } = await import('./jsonpath.ts');
  return render(template.replace(/^(['"])([\s\S]*)\1$/, '$2'), sorted(object));
}

/** Keys in order, as kubectl prints them. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, item]) => [key, sorted(item)]));
}
