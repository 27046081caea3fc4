import { jsonPatch } from '#api/meta/json-patch.ts';
import { isRecord, type JsonRecord } from '#api/meta/json.ts';
import { messageOf } from '#common/errors.ts';
import { writeGoYaml } from './go-yaml.ts';
import { schemaOf } from './kinds.ts';
import type { PatchArgs } from './kustomization.ts';
import type { Loader } from './loader.ts';
import { readDocuments, readObjects } from './read.ts';
import { refuse } from './refuse.ts';
import type { ResourceList } from './resource-list.ts';
import { idText, Resource } from './resource.ts';
import { strategicMerge } from './strategic-merge.ts';

/** A patch of `patches`: a JSON patch for what its target chooses, or strategic merges for that or for what they name. */
export async function applyPatch(list: ResourceList, args: PatchArgs, loader: Loader): Promise<void> {
  const { text, source } = await patchText(args, loader);
  const [merges, operations] = [readMerges(text, source), readOperations(text)];
  if (merges === undefined && operations === undefined) throw configured('PatchTransformer', args, `unable to parse SM or JSON patch from ${source}`);
  if (merges === undefined) {
    if (args.target === undefined) throw refuse(`must specify a target for JSON patch ${source}`);
    applyOperations(list, operations ?? [], args);
    return;
  }
  const patches = merges.map((fields) => {
    const patch = new Resource(fields);
    patch.allowNameChange = args.options?.allowNameChange === true;
    patch.allowKindChange = args.options?.allowKindChange === true;
    return patch;
  });
  if (args.target === undefined) {
    for (const patch of patches) mergeInto(onlyTarget(list, patch), patch);
  } else {
    const [patch, ...others] = patches;
    if (others.length > 0) throw refuse(`Multiple Strategic-Merge Patches in one \`patches\` entry is not allowed to set \`patches.target\` field: ${source}`);
    if (patch) for (const target of list.select(args.target)) mergeInto(target, patch.copy());
  }
  list.dropEmpty();
}

/** An entry of `patchesStrategicMerge`: a file, or the patch itself. */
export async function applyStrategicMerge(list: ResourceList, entry: string, loader: Loader): Promise<void> {
  let merges: JsonRecord[];
  try {
    merges = readObjects((await loader.read(entry)).toString('utf8'), entry);
  } catch (error) {
    const inline = readMerges(entry, entry);
    if (inline === undefined || inline.length === 0) throw configured('PatchStrategicMergeTransformer', { path: entry }, messageOf(error));
    merges = inline;
  }
  for (const fields of merges) {
    const patch = new Resource(fields);
    mergeInto(list.only(patch.id), patch);
  }
  list.dropEmpty();
}

/** An entry of `patchesJson6902`. */
export async function applyJsonPatch(list: ResourceList, args: PatchArgs, loader: Loader): Promise<void> {
  const { text, source } = await patchText(args, loader);
  const operations = readOperations(text);
  if (operations === undefined) throw configured('PatchJson6902Transformer', args, `unable to parse JSON patch from ${source}`);
  if (operations.length === 0) throw configured('PatchJson6902Transformer', args, `patch appears to be empty; file=${args.path ?? ''}, JsonOp=${args.patch ?? ''}`);
  if (args.target?.name === undefined) throw configured('PatchJson6902Transformer', args, 'must specify the target name');
  applyOperations(list, operations, args);
}

async function patchText(args: PatchArgs, loader: Loader): Promise<{ text: string; source: string }> {
  const inline = args.patch?.trim() ?? '';
  const path = args.path ?? '';
  if (inline === '' && path === '') throw configured('PatchTransformer', args, `must specify one of patch and path in\n${writeGoYaml(args)}`);
  if (inline !== '' && path !== '') throw configured('PatchTransformer', args, `patch and path can't be set at the same time\n${writeGoYaml(args)}`);
  if (inline !== '') return { text: inline, source: `[patch: ${JSON.stringify(inline)}]` };
  try {
    return { text: (await loader.read(path)).toString('utf8'), source: `[path: ${JSON.stringify(path)}]` };
  } catch (error) {
    throw configured('PatchTransformer', args, `failed to get the patch file from path(${path}): ${messageOf(error)}`);
  }
}

function configured(what: string, args: PatchArgs, why: string): Error {
  return refuse(`trouble configuring builtin ${what} with config: \`\n${writeGoYaml(args)}\`: ${why}`);
}

/** Undefined where the text is no objects. */
function readMerges(text: string, source: string): JsonRecord[] | undefined {
  try {
    const documents = readDocuments(text, source).filter((document) => document !== null && document !== undefined);
    return documents.every(isRecord) ? readObjects(text, source) : undefined;
  } catch {
    return undefined;
  }
}

function readOperations(text: string): unknown[] | undefined {
  try {
    const [document] = readDocuments(text, 'patch');
    if (!Array.isArray(document) || !document.every((operation) => isRecord(operation))) return undefined;
    return document;
  } catch {
    return undefined;
  }
}

function applyOperations(list: ResourceList, operations: readonly unknown[], { target = {} }: PatchArgs): void {
  for (const resource of list.select(target)) {
    resource.noteId();
    try {
      resource.fields = jsonPatch(resource.fields, operations) as JsonRecord;
    } catch (error) {
      throw refuse(messageOf(error).replace(/^the server rejected .*? in our request: /, ''));
    }
  }
}

function onlyTarget(list: ResourceList, patch: Resource): Resource {
  try {
    return list.only(patch.id);
  } catch (error) {
    throw refuse(`no resource matches strategic merge patch ${JSON.stringify(idText(patch.id))}: ${messageOf(error)}`);
  }
}

/** Name, kind and namespace stay as they are, unless the patch may change the first two. */
function mergeInto(target: Resource, patch: Resource): void {
  const { name, namespace, gvk } = target;
  if (patch.allowNameChange || patch.allowKindChange) target.noteId();
  patch.fields['apiVersion'] = target.fields['apiVersion'];
  target.fields = strategicMerge(schemaOf(gvk), target.fields, patch.fields) ?? {};
  if (target.empty) return;
  if (!patch.allowKindChange) target.fields['kind'] = gvk.kind;
  if (!patch.allowNameChange) target.name = name;
  target.namespace = namespace;
}
