import { readFileSync } from 'node:fs';
import { StatusError } from '#common/errors.ts';
import { fileTrouble } from '../file-trouble.ts';

const formats = ['custom-columns', 'custom-columns-file', 'go-template', 'go-template-file', 'json', 'jsonpath', 'jsonpath-as-json', 'jsonpath-file', 'name', 'template', 'templatefile', 'yaml'] as const;

/** What `-o` means, said before anything is asked of a server. A template that is in a file is read. `tables`: `wide` and nothing are known, too. */
export function checkedOutput(output: string, { tables = false }: { readonly tables?: boolean } = {}): string {
  if (tables && (output === '' || output === 'wide')) return output;
  const [format = '', template] = /^([^=]*)(?:=([^]*))?$/.exec(output)?.slice(1) ?? [];
  if (!(formats as readonly string[]).includes(format) || (template !== undefined && ['json', 'yaml', 'name'].includes(format))) throw new StatusError('BadRequest', `unable to match a printer suitable for the output format "${output}", allowed formats are: ${[...formats, ...(tables ? ['wide'] : [])].sort().join(',')}`);
  if (['json', 'yaml', 'name'].includes(format)) return format;
  if (template === undefined || template === '') throw new StatusError('BadRequest', format.startsWith('custom-columns') ? 'custom-columns format specified but no custom columns given' : `template format specified but no template given`);
  if (!format.endsWith('file')) return `${format === 'template' ? 'go-template' : format}=${template}`;
  const text = readText(template);
  if (format === 'custom-columns-file') return `custom-columns=${columnsOf(text, template)}`;
  return `${format === 'jsonpath-file' ? 'jsonpath' : 'go-template'}=${text}`;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new StatusError('BadRequest', `error reading --template ${path}, ${fileTrouble(error)}`, { cause: error });
  }
}

/** A line of headers and a line of paths, as kubectl wants them in a file. */
function columnsOf(text: string, path: string): string {
  const [headers = [], paths = []] = text.split('\n').map((line) => line.trim().split(/\s+/));
  if (headers.length !== paths.length) throw new StatusError('BadRequest', `${path}: number of headers (${String(headers.length)}) and field specifications (${String(paths.length)}) don't match`);
  return headers.map((header, i) => `${header}:${paths[i] ?? ''}`).join(',');
}

export interface ObjectPrinting {
  /** As `checkedOutput` has it: `yaml`, `json`, `name`, or `jsonpath`, `jsonpath-as-json`, `go-template` or `custom-columns` with a template behind `=`. */
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

/** An object as anything but columns. */
async function printObject(object: unknown, output: string): Promise<string> {
  if (output === 'json') return `${JSON.stringify(sorted(object), null, 4)}\n`;
  if (output === 'yaml') return (await import('../yaml.ts')).formatYaml(object);
  const equals = output.indexOf('=');
  const template = output.slice(equals + 1).replace(/^(['"])([\s\S]*)\1$/, '$2');
  if (output.startsWith('go-template=')) return (await import('./go-template.ts')).renderGoTemplate(template, object);
  const { render, templateValues } = await import('./jsonpath.ts');
  return output.startsWith('jsonpath-as-json=') ? `${JSON.stringify(templateValues(template, sorted(object)), null, 4)}\n` : render(template, sorted(object));
}

/** Keys in order, as kubectl prints them. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, item]) => [key, sorted(item)]));
}
