import { StatusError } from '#common/errors.ts';
import type { RestClient } from '../client.ts';
import { clusterCommand } from '../cluster-command.ts';
import { refuse, type Flag } from '../flags.ts';
import { resolveResource, type ResourceType } from '../resources.ts';

const flags: readonly Flag[] = [
  { name: 'recursive', type: 'bool', description: 'fields of fields too, without descriptions' },
  { name: 'api-version', type: 'string', description: 'of this version of the API, such as apps/v1' },
];

interface Schema {
  readonly $ref?: string;
  readonly allOf?: readonly Schema[];
  readonly type?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
  readonly enum?: readonly unknown[];
  readonly 'x-kubernetes-group-version-kind'?: readonly { readonly group: string; readonly version: string; readonly kind: string }[];
}
type Schemas = Readonly<Record<string, Schema>>;

export const command = clusterCommand({
  name: 'explain', usage: 'explain TYPE[.FIELD...] [flags]', summary: 'Say what fields a type of object has.', flags, examples: ['cleat explain pod.spec.containers', 'cleat explain deployment --recursive'],
  async run({ client, parsed, io }) {
    const [what, ...others] = parsed.args;
    if (what === undefined || others.length > 0) throw refuse('explain', 'You must specify the type of resource to explain. Use "cleat api-resources" for a complete list of supported resources.');
    const [resource = '', ...path] = what.replace(/\.+$/, '').split('.');
    const found = await resolveResource(client, resource);
    const type = asVersion(found, parsed.string('api-version'));
    const schemas = await schemasOf(client, type);
    const root = Object.values(schemas).find((schema) => schema['x-kubernetes-group-version-kind']?.some(({ group, version, kind }) => group === type.group && version === type.version && kind === type.kind));
    if (!root) throw new StatusError('NotFound', `couldn't find the schema of ${type.kind} in ${type.group === '' ? type.version : `${type.group}/${type.version}`}`);
    io.out(explain(type, root, path, schemas, parsed.bool('recursive')));
    return 0;
  },
});

function asVersion(type: ResourceType, given: string | undefined): ResourceType {
  if (given === undefined) return type;
  const [group, version] = given.includes('/') ? given.split('/') : ['', given];
  return { ...type, group: group ?? '', version: version ?? '' };
}

async function schemasOf(client: RestClient, { group, version }: ResourceType): Promise<Schemas> {
  const { paths } = await client.json<{ paths: Readonly<Record<string, { readonly serverRelativeURL: string }>> }>('GET', '/openapi/v3');
  const path = group === '' ? `api/${version}` : `apis/${group}/${version}`;
  const url = paths[path]?.serverRelativeURL;
  if (url === undefined) throw new StatusError('NotFound', `couldn't find resource for "${path.replace(/^apis?\//, '')}"`);
  return (await client.json<{ components?: { schemas?: Schemas } }>('GET', url)).components?.schemas ?? {};
}

/** kubectl's text about a field, or about the type itself where the path is empty. */
export function explain(type: Pick<ResourceType, 'group' | 'version' | 'kind'>, root: Schema, path: readonly string[], schemas: Schemas, recursive: boolean): string {
  let schema = root;
  for (const field of path) {
    const next = fieldsOf(schema, schemas)[field];
    if (!next) throw new StatusError('NotFound', `field "${field}" does not exist`);
    schema = next;
  }
  const lines = [...(type.group === '' ? [] : [`GROUP:      ${type.group}`]), `KIND:       ${type.kind}`, `VERSION:    ${type.version}`, ''];
  const last = path.at(-1);
  if (last !== undefined) lines.push(`FIELD: ${last} <${typeName(schema, schemas)}>`, ...enumLines(schema, ''), '', '');
  const text = descriptionOf(schema, schemas);
  lines.push('DESCRIPTION:', ...wrapped(text === '' ? '<empty>' : text, 4));
  const fields = fieldsOf(schema, schemas);
  if (Object.keys(fields).length === 0) return `${lines.join('\n')}\n\n`;
  lines.push('FIELDS:', ...fieldLines(schema, schemas, recursive, 1, []));
  return `${lines.join('\n')}\n\n`;
}

/** `seen` keeps types that hold themselves from going on for ever. */
function fieldLines(schema: Schema, schemas: Schemas, recursive: boolean, depth: number, seen: readonly Schema[]): string[] {
  const indent = '  '.repeat(depth);
  const target = inner(schema, schemas);
  return Object.entries(fieldsOf(schema, schemas)).sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([name, field]) => {
    const head = `${indent}${name}\t<${typeName(field, schemas)}>${target.required?.includes(name) ? ' -required-' : ''}`;
    if (recursive) return [head, ...enumLines(field, indent), ...(seen.includes(inner(field, schemas)) ? [] : fieldLines(field, schemas, true, depth + 1, [...seen, inner(field, schemas)]))];
    return [head, ...enumLines(field, indent), ...wrapped(descriptionOf(field, schemas) || '<no description>', 4), ''];
  });
}

function enumLines({ enum: values }: Schema, indent: string): string[] {
  return values?.length ? [`${indent}enum: ${values.map(String).join(', ')}`] : [];
}

function resolve(schema: Schema, schemas: Schemas): Schema {
  const ref = schema.$ref ?? (schema.allOf?.length === 1 ? schema.allOf[0]?.$ref : undefined);
  return ref === undefined ? schema : schemas[ref.replace('#/components/schemas/', '')] ?? schema;
}

/** What stands in a list or a map, or the schema itself. */
function inner(schema: Schema, schemas: Schemas): Schema {
  const target = resolve(schema, schemas);
  if (target.items) return inner(target.items, schemas);
  return typeof target.additionalProperties === 'object' ? inner(target.additionalProperties, schemas) : target;
}

function fieldsOf(schema: Schema, schemas: Schemas): Readonly<Record<string, Schema>> {
  return inner(schema, schemas).properties ?? {};
}

/** `[]Container`, `map[string]string`, `IntOrString`. */
function typeName(schema: Schema, schemas: Schemas): string {
  const ref = schema.$ref ?? (schema.allOf?.length === 1 ? schema.allOf[0]?.$ref : undefined);
  const { type: plain } = resolve(schema, schemas);
  if (ref !== undefined) return plain === undefined || plain === 'object' ? ref.split('.').at(-1) ?? '' : plain;
  if (schema.items) return `[]${typeName(schema.items, schemas)}`;
  if (typeof schema.additionalProperties === 'object') return `map[string]${typeName(schema.additionalProperties, schemas)}`;
  return schema.type === 'object' || schema.type === undefined ? 'Object' : schema.type;
}

function descriptionOf(schema: Schema, schemas: Schemas): string {
  return schema.description ?? resolve(schema, schemas).description ?? '';
}

function wrapped(text: string, indent: number): string[] {
  const width = 80 - indent;
  return text.split('\n').flatMap((paragraph) => {
    const lines: string[] = [];
    let line = '';
    for (const word of paragraph.split(' ')) {
      if (line !== '' && line.length + 1 + word.length > width) { lines.push(line); line = word; } else line = line === '' ? word : `${line} ${word}`;
    }
    return [...lines, line];
  }).map((line) => `${' '.repeat(indent)}${line}`);
}
