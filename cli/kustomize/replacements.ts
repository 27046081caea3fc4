import { isRecord, own, setOwn } from '#api/meta/json.ts';
import { parseYaml } from '../yaml.ts';
import { effectiveNamespace, idText, textOf, type Resource, type ResourceId } from './resource.ts';
import { gvkMatches } from './kinds.ts';
import type { FieldOptions, ReplacementArgs } from './kustomization.ts';
import type { Loader } from './loader.ts';
import { readWord } from './read.ts';
import { refuse } from './refuse.ts';
import { compile, matchesSelectors, type ResourceList, type Selector } from './resource-list.ts';
import { replacementShape, requireShape } from './shape.ts';

/** Copies the value of one object's field to fields of others. */
export async function applyReplacements(list: ResourceList, replacements: readonly ReplacementArgs[], loader: Loader): Promise<void> {
  for (const given of replacements) {
    for (const { source, targets } of await opened(given, loader)) {
      if (source === undefined || targets === undefined) throw refuse('replacements must specify a source and at least one target');
      const value = sourceValue(list, source);
      for (const target of targets) applyTo(list, value, target);
    }
  }
}

async function opened(given: ReplacementArgs, loader: Loader): Promise<readonly ReplacementArgs[]> {
  if (given.path === undefined || given.path === '') return [given];
  if (given.source !== undefined || given.targets !== undefined) throw refuse('cannot specify both path and inline replacement');
  const [document] = parseYaml((await loader.read(given.path)).toString('utf8'), given.path);
  const all: unknown[] = Array.isArray(document) ? document : [document];
  for (const one of all) requireShape(one, replacementShape);
  return all as ReplacementArgs[];
}

function idFits(id: ResourceId, selector: Selector): boolean {
  const { name = '', namespace = '' } = selector;
  return (name === '' || id.name === name) && (namespace === '' || effectiveNamespace({ ...id, namespace }) === effectiveNamespace(id)) && gvkMatches(id, selector);
}

function idsOf(resource: Resource): ResourceId[] {
  return [resource.id, ...resource.previousIds];
}

function sourceValue(list: ResourceList, source: NonNullable<ReplacementArgs['source']>): unknown {
  const matches = list.all.filter((resource) => idsOf(resource).some((id) => idFits(id, source)));
  const selector: ResourceId = { group: '', version: '', kind: '', name: '', namespace: '', ...source };
  const [found] = matches;
  const path = source.fieldPath || 'metadata.name';
  if (matches.length > 1) throw refuse(`multiple matches for selector ${idText(selector)}:${path}`);
  if (found === undefined) throw refuse(`nothing selected by ${idText(selector)}:${path}`);
  const [value] = lookup(found.fields, splitFieldPath(path));
  if (value === undefined || value === null || value === '' || (typeof value === 'object' && Object.keys(value).length === 0)) throw refuse(`fieldPath \`${path}\` is missing for replacement source ${idText(selector)}`);
  const { delimiter = '', index = 0 } = source.options ?? {};
  if (delimiter === '') return value;
  if (typeof value === 'object') throw refuse('delimiter option can only be used with scalar nodes');
  const parts = textOf(value).split(delimiter);
  if (index < 0 || index >= parts.length) throw refuse(`options.index ${String(index)} is out of bounds for value ${textOf(value)}`);
  return parts[index];
}

function applyTo(list: ResourceList, value: unknown, { select, reject = [], fieldPaths = [], options = {} }: NonNullable<ReplacementArgs['targets']>[number]): void {
  if (select === undefined) throw refuse('target must specify resources to select');
  const bySelectors = reject.filter(({ labelSelector = '', annotationSelector = '' }) => labelSelector !== '' || annotationSelector !== '');
  const byId = reject.filter(({ group, version, kind, name, namespace }) => [group, version, kind, name, namespace].some(Boolean));
  for (const resource of list.all) {
    if (!matchesSelectors(resource, select) || bySelectors.some((selector) => matchesSelectors(resource, selector))) continue;
    const ids = idsOf(resource);
    if (!ids.some((id) => idFits(id, select)) || ids.some((id) => byId.some((selector) => idFits(id, selector)))) continue;
    for (const path of fieldPaths.length > 0 ? fieldPaths : ['metadata.name']) {
      const places = find(resource.fields, splitFieldPath(path), { create: options.create === true, exact: false });
      if (places.length === 0) throw refuse(`unable to find ${options.create === true ? 'or create ' : ''}field ${JSON.stringify(path)} in replacement target`);
      for (const place of places) place.set(replaced(place.get(), value, options));
    }
  }
}

function replaced(old: unknown, value: unknown, { delimiter = '', index = 0 }: FieldOptions): unknown {
  let written = value;
  if (delimiter !== '') {
    if (typeof old === 'object' && old !== null) throw refuse('delimiter option can only be used with scalar nodes');
    const parts = textOf(old).split(delimiter);
    if (index < 0) parts.unshift(textOf(value));
    else if (index >= parts.length) parts.push(textOf(value));
    else parts[index] = textOf(value);
    written = parts.join(delimiter);
  }
  if (typeof written === 'object') return structuredClone(written);
  // What was not there is what its words say; a text stays text, and a number a number where it can.
  if (old === undefined && typeof written === 'string') return readWord(written);
  if (typeof old === 'string') return textOf(written);
  if (typeof old === 'number' && typeof written === 'string' && /^-?\d+(?:\.\d+)?$/.test(written)) return Number(written);
  if (typeof old === 'boolean' && (written === 'true' || written === 'false')) return written === 'true';
  return written;
}

/** `spec.containers.[name=web].image`: split at points, but not inside of brackets nor behind a backslash. */
export function splitFieldPath(path: string): string[] {
  const parts: string[] = [''];
  let depth = 0;
  for (const [i, character] of path.split("").entries()) {
    const last = parts.length - 1;
    if (character === '[') depth++;
    if (character === ']') depth--;
    if (character === '.' && depth === 0 && path[i - 1] === '\\') parts[last] = `${(parts[last] ?? '').slice(0, -1)}.`;
    else if (character === '.' && depth === 0) parts.push('');
    else parts[last] = (parts[last] ?? '') + character;
  }
  return parts.map((part) => part.trim()).filter((part) => part !== '').map((part) => (/^\[[^=]*\]$/.test(part) ? part.slice(1, -1) : part));
}

function lookup(value: unknown, path: readonly string[]): unknown[] {
  return find({ root: value }, ['root', ...path], { create: false, exact: true }).slice(0, 1).map((place) => place.get());
}

interface Place { readonly get: () => unknown; readonly set: (value: unknown) => void }

interface Finding {
  /** Fields that are missing are made. */
  readonly create: boolean;
  /** `[name=web]` is that item alone; else, in targets, a regular expression that finds `web-2`, too, as kustomize has it. */
  readonly exact: boolean;
}

/** All the places that a path leads to. */
function find(value: unknown, [part = '', ...rest]: readonly string[], how: Finding): Place[] {
  const { create, exact } = how;
  const item = /^\[([^=]*)=(.*)\]$/s.exec(part);
  if (Array.isArray(value)) {
    if (create && item && !value.some((entry) => fits(entry, item[1] ?? '', item[2] ?? '', exact))) value.push({ [item[1] ?? '']: item[2] ?? '' });
    const chosen = [...value.keys()].filter((i) => (part === '*' ? true : item ? fits(value[i], item[1] ?? '', item[2] ?? '', exact) : part === '-' ? i === value.length - 1 : String(i) === part));
    if (/^\d+$/.test(part) && chosen.length === 0) throw refuse(`index ${part} specified but only ${String(value.length)} elements found`);
    return chosen.flatMap((i): Place[] => (rest.length > 0 ? find(value[i], rest, how) : [{ get: () => value[i] as unknown, set: (next) => { value[i] = next; } }]));
  }
  if (!isRecord(value)) return [];
  if (part === '*') return Object.keys(value).flatMap((key) => find(value, [key, ...rest], how));
  const missing = own(value, part) === undefined || own(value, part) === null;
  if (missing && !create) return [];
  if (missing && rest.length > 0) setOwn(value, part, /^\[|^\d+$|^-$/.test(rest[0] ?? '') ? [] : {});
  return rest.length > 0 ? find(own(value, part), rest, how) : [{ get: () => own(value, part), set: (next) => { setOwn(value, part, next); } }];
}

function fits(entry: unknown, field: string, pattern: string, exact: boolean): boolean {
  const value = field === '' ? entry : isRecord(entry) ? own(entry, field) : undefined;
  if (value === undefined || value === null || typeof value === 'object') return false;
  return exact ? textOf(value) === pattern : compile(pattern).test(textOf(value));
}
