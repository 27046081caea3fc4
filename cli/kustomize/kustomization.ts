import { isRecord, own, type JsonRecord } from '#api/meta/json.ts';
import { parseYaml } from '../yaml.ts';
import type { FieldSpec } from './field-specs.ts';
import type { Loader } from './loader.ts';
import { refuse } from './refuse.ts';
import type { Selector } from './resource-list.ts';
import { kustomizationShape, requireShape } from './shape.ts';

export interface GeneratorOptions {
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly disableNameSuffixHash?: boolean;
  readonly immutable?: boolean;
}

export interface GeneratorArgs {
  readonly name?: string;
  readonly namespace?: string;
  readonly behavior?: string;
  readonly files?: readonly string[];
  readonly literals?: readonly string[];
  readonly envs?: readonly string[];
  readonly env?: string;
  readonly options?: GeneratorOptions;
  /** Of Secrets. */
  readonly type?: string;
}

export interface PatchArgs { readonly path?: string; readonly patch?: string; readonly target?: Selector; readonly options?: { readonly allowNameChange?: boolean; readonly allowKindChange?: boolean } }
export interface ImageArgs { readonly name?: string; readonly newName?: string; readonly newTag?: string; readonly tagSuffix?: string; readonly digest?: string }
export interface LabelArgs { readonly pairs?: Readonly<Record<string, string>>; readonly includeSelectors?: boolean; readonly includeTemplates?: boolean; readonly fields?: readonly FieldSpec[] }
export interface FieldOptions { readonly delimiter?: string; readonly index?: number; readonly encoding?: string; readonly create?: boolean }
export interface ReplacementArgs {
  readonly path?: string;
  readonly source?: Selector & { readonly fieldPath?: string; readonly options?: FieldOptions };
  readonly targets?: readonly { readonly select?: Selector; readonly reject?: readonly Selector[]; readonly fieldPaths?: readonly string[]; readonly options?: FieldOptions }[];
}
export interface SortOptions { readonly order?: string; readonly legacySortOptions?: { readonly orderFirst?: readonly string[]; readonly orderLast?: readonly string[] } }

/** A kustomization file, its fields of old moved to those of today. */
export interface Kustomization {
  readonly kind: 'Kustomization' | 'Component';
  readonly resources: readonly string[];
  readonly components: readonly string[];
  readonly namePrefix: string;
  readonly nameSuffix: string;
  readonly namespace: string;
  readonly commonLabels: Readonly<Record<string, string>>;
  readonly commonAnnotations: Readonly<Record<string, string>>;
  readonly labels: readonly LabelArgs[];
  readonly patches: readonly PatchArgs[];
  readonly patchesStrategicMerge: readonly string[];
  readonly patchesJson6902: readonly PatchArgs[];
  readonly images: readonly ImageArgs[];
  readonly replicas: readonly { readonly name?: string; readonly count?: number }[];
  readonly replacements: readonly ReplacementArgs[];
  readonly configMapGenerator: readonly GeneratorArgs[];
  readonly secretGenerator: readonly GeneratorArgs[];
  readonly generatorOptions: GeneratorOptions;
  readonly sortOptions: SortOptions | undefined;
  readonly buildMetadata: readonly string[];
}

const fileNames = ['kustomization.yaml', 'kustomization.yml', 'Kustomization'];
const versions = { Kustomization: 'kustomize.config.k8s.io/v1beta1', Component: 'kustomize.config.k8s.io/v1alpha1' } as const;

/** Reads the kustomization of a folder. `warn` is told of fields of old. */
export function readKustomization(loader: Loader, warn: (line: string) => void): Kustomization {
  const found = fileNames.flatMap((name) => {
    const text = loader.readOptional(name);
    return text === undefined ? [] : [{ name, text }];
  });
  const [file] = found;
  if (file === undefined) throw refuse(`unable to find one of 'kustomization.yaml', 'kustomization.yml' or 'Kustomization' in directory '${loader.root}'`);
  if (found.length > 1) throw refuse(`Found multiple kustomization files under: ${loader.root}\n`);
  const [document] = parseYaml(file.text, `${loader.root}/${file.name}`);
  if (document === undefined || document === null || (isRecord(document) && Object.values(document).every(isEmpty))) throw refuse('kustomization.yaml is empty');
  requireShape(document, kustomizationShape);
  const raw = document as JsonRecord;
  for (const [old, now, how] of deprecated) if (own(raw, old) !== undefined) warn(`# Warning: '${old}' is deprecated. Please use '${now}' instead. ${how ?? ''}Run 'kustomize edit fix' to update your Kustomization automatically.`);
  refuseUnsupported(raw);
  return decode(raw, loader.root);
}

const deprecated = [
  ['bases', 'resources'], ['commonLabels', 'labels'], ['imageTags', 'images'], ['patchesJson6902', 'patches'], ['patchesStrategicMerge', 'patches'], ['vars', 'replacements', '[EXPERIMENTAL] '],
] as const;

function isEmpty(value: unknown): boolean {
  return value === null || value === '' || (typeof value === 'object' && Object.keys(value).length === 0);
}

const unsupported: Readonly<Record<string, string>> = {
  helmCharts: "render the chart with 'helm template', and name what that wrote under resources",
  helmChartInflationGenerator: "render the chart with 'helm template', and name what that wrote under resources",
  helmGlobals: "render the charts with 'helm template', and name what that wrote under resources",
  generators: 'run the generator, and name what it wrote under resources',
  transformers: 'use the fields of the kustomization itself, such as labels, images, patches and replacements',
  validators: 'validate what cleat kustomize prints',
  configurations: 'reach the fields by patches or replacements; labels take fields of their own',
  crds: 'reach the fields of custom resources by patches or replacements',
  openapi: 'lists of custom resources are replaced as a whole; a JSON patch adds to them',
  vars: 'use replacements',
  inventory: 'delete it; nothing reads it any more',
};

function refuseUnsupported(raw: JsonRecord): void {
  for (const [field, instead] of Object.entries(unsupported)) {
    const value = own(raw, field);
    if (value !== undefined && !isEmpty(value)) throw refuse(`the field '${field}' of kustomizations is beyond cleat: ${instead}`);
  }
}

function decode(raw: JsonRecord, root: string): Kustomization {
  const list = <T>(...fields: string[]): T[] => fields.flatMap((field) => (own(raw, field) ?? []) as T[]);
  const kind = own(raw, 'kind') || 'Kustomization';
  const version = own(raw, 'apiVersion');
  const wrong = kind !== 'Kustomization' && kind !== 'Component' ? ['kind should be Kustomization or Component'] : [];
  const required = versions[kind === 'Component' ? kind : 'Kustomization'];
  if (version !== undefined && version !== '' && version !== required) wrong.push(`apiVersion for ${String(kind)} should be ${required}`);
  if (wrong.length > 0) throw refuse(`Failed to read kustomization file under ${root}:\n${wrong.join('\n')}`);
  const text = (field: string): string => (own(raw, field) ?? '') as string;
  return {
    kind: kind as Kustomization['kind'],
    resources: list('resources', 'bases'), components: list('components'),
    namePrefix: text('namePrefix'), nameSuffix: text('nameSuffix'), namespace: text('namespace'),
    commonLabels: (own(raw, 'commonLabels') ?? {}) as Record<string, string>, commonAnnotations: (own(raw, 'commonAnnotations') ?? {}) as Record<string, string>,
    labels: list('labels'), patches: list('patches'), patchesStrategicMerge: list('patchesStrategicMerge'), patchesJson6902: list('patchesJson6902'),
    images: list('images', 'imageTags'), replicas: list('replicas'), replacements: list('replacements'),
    configMapGenerator: list('configMapGenerator'), secretGenerator: list('secretGenerator'), generatorOptions: (own(raw, 'generatorOptions') ?? {}) as GeneratorOptions,
    sortOptions: (own(raw, 'sortOptions') ?? undefined) as SortOptions | undefined, buildMetadata: list('buildMetadata'),
  };
}
