import { relative } from 'node:path';
import { messageOf } from '#common/errors.ts';
import { type JsonRecord } from '#api/meta/json.ts';
import { annotations, plainLabels, selectorLabels, templateLabels } from './default-fields.ts';
import { joinSpecs } from './field-specs.ts';
import { setImage, setPairs, setReplicas } from './fields.ts';
import { generate } from './generators.ts';
import { readKustomization, type Kustomization } from './kustomization.ts';
import { Loader } from './loader.ts';
import { followNames } from './name-references.ts';
import { affixNames, hashNames, setNamespace } from './names.ts';
import { applyJsonPatch, applyPatch, applyStrategicMerge } from './patches.ts';
import { readObjects } from './read.ts';
import { refuse, within } from './refuse.ts';
import { applyReplacements } from './replacements.ts';
import { ResourceList } from './resource-list.ts';
import { Resource } from './resource.ts';
import { sortObjects } from './sort.ts';

const originKey = 'config.kubernetes.io/origin';
const localKey = 'config.kubernetes.io/local-config';
const managedByKey = 'app.kubernetes.io/managed-by';

/** The objects that the kustomization in a folder describes, in the order in which kubectl prints them. `warn` is told of fields of old. */
export async function buildKustomization(path: string, warn: (line: string) => void): Promise<JsonRecord[]> {
  const loader = Loader.at(path);
  const top = readKustomization(loader, warn);
  if (top.buildMetadata.includes('transformerAnnotations')) throw refuse('transformerAnnotations of buildMetadata are beyond cleat: leave them out; it knows originAnnotations and managedByLabel');
  const list = await new Build(loader.root, warn).accumulate(top, loader, new ResourceList());
  hashNames(list);
  followNames(list);
  list.keep((resource) => [undefined, 'false'].includes(resource.meta('annotations')[localKey]));
  sortObjects(list, top.sortOptions);
  if (top.buildMetadata.includes('managedByLabel')) setPairs(list, { [managedByKey]: 'kustomize-cleat' }, plainLabels);
  if (top.buildMetadata.includes('originAnnotations')) {
    for (const resource of list.all) if (resource.origin) resource.setMeta('annotations', { ...resource.meta('annotations'), [originKey]: resource.origin });
  }
  // Annotations are text, whatever was put there.
  for (const resource of list.all) if (resource.metadata['annotations'] !== undefined) resource.setMeta('annotations', resource.meta('annotations'));
  return list.all.map(({ fields }) => fields);
}

/** One walk through a kustomization and those that it is built on. */
class Build {
  readonly #root: string;
  readonly #warn: (line: string) => void;

  constructor(root: string, warn: (line: string) => void) {
    this.#root = root;
    this.#warn = warn;
  }

  /** Adds to the list what a kustomization describes; a component changes what is there already, too. */
  async accumulate(kustomization: Kustomization, loader: Loader, list: ResourceList): Promise<ResourceList> {
    try {
      for (const path of kustomization.resources) await this.#addResource(path, loader, list);
    } catch (error) {
      throw within('accumulating resources', error);
    }
    await this.#generate(kustomization, loader, list);
    try {
      for (const path of kustomization.components) await this.#addComponent(path, loader, list);
    } catch (error) {
      throw within('accumulating components', error);
    }
    await transform(kustomization, loader, list);
    return list;
  }

  async #addResource(path: string, loader: Loader, list: ResourceList): Promise<void> {
    let asFile: unknown;
    try {
      await this.#addFile(path, loader, list);
      return;
    } catch (error) {
      asFile = error;
    }
    if (/^https?:/.test(path)) throw asFile;
    let inner: Loader;
    try {
      inner = loader.enter(path);
    } catch (error) {
      if (messageOf(asFile).includes('MalformedYAMLError')) throw asFile;
      throw messageOf(error).includes('which cleat does not fetch') ? error : within(`accumulation err='${messageOf(asFile)}'`, error);
    }
    try {
      for (const resource of (await this.#addFolder(inner, 'Kustomization', new ResourceList())).all) merge(list, resource, inner.root);
    } catch (error) {
      throw within(`accumulation err='${messageOf(asFile)}'`, error);
    }
  }

  async #addFile(path: string, loader: Loader, list: ResourceList): Promise<void> {
    let objects: JsonRecord[];
    try {
      objects = readObjects((await loader.read(path)).toString('utf8'), path);
    } catch (error) {
      throw within(`accumulating resources from '${path}'`, error);
    }
    try {
      for (const fields of objects) {
        const resource = new Resource(fields);
        resource.origin = `path: ${/^https?:/.test(path) ? path : relative(this.#root, `${loader.root}/${path}`)}\n`;
        list.append(resource);
      }
    } catch (error) {
      throw within(`merging resources from '${path}'`, error);
    }
  }

  async #addFolder(loader: Loader, kind: Kustomization['kind'], list: ResourceList): Promise<ResourceList> {
    let kustomization: Kustomization;
    try {
      kustomization = readKustomization(loader, this.#warn);
    } catch (error) {
      throw within(`couldn't make target for path '${loader.root}'`, error);
    }
    if (kustomization.kind !== kind) throw refuse(kind === 'Component' ? `expected kind 'Component' for path '${loader.root}' but got '${kustomization.kind}'` : `expected kind != 'Component' for path '${loader.root}'`);
    try {
      return await this.accumulate(kustomization, loader, list);
    } catch (error) {
      throw within(`recursed accumulation of path '${loader.root}'`, error);
    }
  }

  async #addComponent(path: string, loader: Loader, list: ResourceList): Promise<void> {
    let inner: Loader;
    try {
      inner = loader.enter(path);
    } catch (error) {
      throw refuse(`loader.New ${JSON.stringify(messageOf(error))}`);
    }
    try {
      await this.#addFolder(inner, 'Component', list);
    } catch (error) {
      throw refuse(`accumulateDirectory: ${JSON.stringify(messageOf(error))}`);
    }
  }

  async #generate({ configMapGenerator, secretGenerator, generatorOptions }: Kustomization, loader: Loader, list: ResourceList): Promise<void> {
    for (const [kind, all] of [['ConfigMap', configMapGenerator], ['Secret', secretGenerator]] as const) {
      for (const args of all) {
        const resource = await generate(kind, args, generatorOptions, loader);
        resource.origin = `configuredIn: ${relative(this.#root, `${loader.root}/kustomization.yaml`)}\nconfiguredBy:\n  apiVersion: builtin\n  kind: ${kind}Generator\n`;
        try {
          list.absorb(resource);
        } catch (error) {
          throw within('merging from generator', error);
        }
      }
    }
  }
}

function merge(list: ResourceList, resource: Resource, root: string): void {
  try {
    list.append(resource);
  } catch (error) {
    throw within(`recursed merging from path '${root}'`, error);
  }
}

/** What a kustomization does to the objects that it has, in kustomize's order. */
async function transform(kustomization: Kustomization, loader: Loader, list: ResourceList): Promise<void> {
  for (const entry of kustomization.patchesStrategicMerge) await applyStrategicMerge(list, entry, loader);
  for (const patch of kustomization.patches) await applyPatch(list, patch, loader);
  setNamespace(list, kustomization.namespace);
  affixNames(list, kustomization.namePrefix, 'prefixes');
  affixNames(list, kustomization.nameSuffix, 'suffixes');
  for (const { pairs = {}, includeSelectors = false, includeTemplates = false, fields = [] } of kustomization.labels) {
    setPairs(list, pairs, joinSpecs(fields, includeSelectors ? selectorLabels : includeTemplates ? templateLabels : plainLabels));
  }
  setPairs(list, kustomization.commonLabels, selectorLabels);
  setPairs(list, kustomization.commonAnnotations, annotations);
  for (const patch of kustomization.patchesJson6902) await applyJsonPatch(list, patch, loader);
  for (const { name = '', count = 0 } of kustomization.replicas) setReplicas(list, name, count);
  for (const image of kustomization.images) setImage(list, image);
  await applyReplacements(list, kustomization.replacements, loader);
}
