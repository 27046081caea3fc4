import { isRecord, own } from '#api/meta/json.ts';
import { refuse } from './refuse.ts';

/** What a field may hold, as the types of a decoder of Go would have it. */
type Shape = 'string' | 'bool' | 'int' | 'any' | { readonly list: Shape } | { readonly map: Shape } | { readonly struct: string; readonly fields: Readonly<Record<string, Shape>> };

const list = (of: Shape): Shape => ({ list: of });
const map = (of: Shape): Shape => ({ map: of });
const struct = (name: string, fields: Readonly<Record<string, Shape>>): Shape => ({ struct: name, fields });
const strings = (...names: string[]): Record<string, Shape> => Object.fromEntries(names.map((name) => [name, 'string']));

const texts = map('string');
const id = strings('group', 'version', 'kind', 'name', 'namespace');
const selector = struct('Selector', { ...id, ...strings('annotationSelector', 'labelSelector') });
const fileMerge = struct('FileMergeOptions', strings('mode'));
const options = struct('GeneratorOptions', { labels: texts, annotations: texts, disableNameSuffixHash: 'bool', immutable: 'bool', fileMerge });
const generator = { ...strings('namespace', 'name', 'behavior', 'env'), files: list('string'), literals: list('string'), envs: list('string'), options };
const patch = struct('Patch', { ...strings('path', 'patch'), target: selector, options: struct('PatchArgs', { allowNameChange: 'bool', allowKindChange: 'bool' }) });
const image = struct('Image', strings('name', 'newName', 'tagSuffix', 'newTag', 'digest'));
const fieldOptions = struct('FieldOptions', { ...strings('delimiter', 'encoding'), index: 'int', create: 'bool' });
const target = struct('TargetSelector', { select: selector, reject: list(selector), fieldPaths: list('string'), options: fieldOptions });

/** A replacement, in the kustomization or in a file of its own. */
export const replacementShape = struct('Replacement', { source: struct('SourceSelector', { ...id, fieldPath: 'string', options: fieldOptions }), targets: list(target) });

export const kustomizationShape = struct('Kustomization', {
  ...strings('apiVersion', 'kind', 'namePrefix', 'nameSuffix', 'namespace'),
  metadata: 'any', openapi: texts,
  commonLabels: texts, commonAnnotations: texts,
  labels: list(struct('Label', { pairs: texts, includeSelectors: 'bool', includeTemplates: 'bool', fields: list(struct('FieldSpec', { ...strings('group', 'version', 'kind', 'path'), create: 'bool' })) })),
  patchesStrategicMerge: list('string'), patchesJson6902: list(patch), patches: list(patch),
  images: list(image), imageTags: list(image),
  replacements: list(struct('ReplacementField', { path: 'string', ...(replacementShape as { readonly fields: Record<string, Shape> }).fields })),
  replicas: list(struct('Replica', { name: 'string', count: 'int' })),
  vars: 'any',
  sortOptions: struct('SortOptions', { order: 'string', legacySortOptions: struct('LegacySortOptions', { orderFirst: list('string'), orderLast: list('string') }) }),
  resources: list('string'), components: list('string'), crds: list('string'), bases: list('string'),
  configMapGenerator: list(struct('ConfigMapArgs', generator)), secretGenerator: list(struct('SecretArgs', { ...generator, type: 'string' })),
  helmGlobals: 'any', helmCharts: 'any', helmChartInflationGenerator: 'any', generatorOptions: options,
  configurations: list('string'), generators: list('string'), transformers: list('string'), validators: list('string'), inventory: 'any', buildMetadata: list('string'),
});

/** Refuses unknown fields and values of other types in Go's words, which kubectl prints. */
export function requireShape(value: unknown, shape: Shape, at = ''): void {
  if (value === null || value === undefined || shape === 'any') return;
  if (typeof shape === 'string') {
    const fits = { string: typeof value === 'string', bool: typeof value === 'boolean', int: Number.isInteger(value) };
    if (!fits[shape as keyof typeof fits]) throw mismatch(value, at, shape);
  } else if ('list' in shape) {
    if (!Array.isArray(value)) throw mismatch(value, at, nameOf(shape));
    for (const item of value) requireShape(item, shape.list, at);
  } else {
    if (!isRecord(value)) throw mismatch(value, at, nameOf(shape));
    for (const [key, item] of Object.entries(value)) {
      const field = 'map' in shape ? shape.map : own(shape.fields, key) as Shape | undefined;
      if (field === undefined) throw refuse(`invalid Kustomization: json: unknown field ${JSON.stringify(key)}`);
      requireShape(item, field, 'map' in shape ? at : at === '' ? `${shape.struct}.${key}` : `${at}.${key}`);
    }
  }
}

function nameOf(shape: Shape): string {
  if (typeof shape === 'string') return shape === 'any' ? 'interface {}' : shape;
  return 'list' in shape ? `[]${nameOf(shape.list)}` : 'map' in shape ? `map[string]${nameOf(shape.map)}` : `types.${shape.struct}`;
}

function mismatch(value: unknown, at: string, type: string): Error {
  const got = typeof value === 'boolean' ? 'bool' : Array.isArray(value) ? 'array' : typeof value;
  return refuse(`invalid Kustomization: json: cannot unmarshal ${got} into Go ${at === '' ? 'value' : `struct field ${at}`} of type ${type}`);
}
