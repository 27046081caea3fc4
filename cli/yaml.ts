import { parseAllDocuments, stringify, type ScalarTag, type Tags } from 'yaml';
import { StatusError } from '#common/errors.ts';

const core = 'tag:yaml.org,2002:';
/** YAML 1.2's way to write octal numbers, which kubectl reads too. */
const octal: ScalarTag = { tag: `${core}int`, default: true, test: /^[-+]?0o[0-7]+$/, resolve: (text) => Number.parseInt(text.replace('0o', ''), 8) };
const binary: ScalarTag = { tag: `${core}binary`, resolve: (text) => Buffer.from(text, 'base64').toString('utf8') };

/**
 * YAML as kubectl reads it: version 1.1 (`yes`, `on` and `y` are true, `0644` is octal), but times and dates are text.
 */
const options = {
  version: '1.1',
  customTags: (tags: Tags): Tags => [octal, binary, ...tags.filter((tag) => typeof tag === 'string' || (tag.tag !== `${core}timestamp` && tag.tag !== binary.tag && !('format' in tag && tag.format === 'TIME')))],
} as const;

/** The documents of a text. `source` names it in errors. */
export function parseYaml(text: string, source: string): unknown[] {
  const documents = parseAllDocuments(text, { ...options, uniqueKeys: true, prettyErrors: true });
  if (!Array.isArray(documents)) return [];
  return documents.map((document, index) => {
    const [problem] = document.errors;
    if (problem) throw new StatusError('BadRequest', `error parsing ${source}: document ${String(index + 1)}: ${problem.message}`);
    return document.toJS({ maxAliasCount: 100 }) as unknown;
  });
}

/** As kubectl writes it: keys in order, text quoted that any reader of YAML 1.1 would take for something else, times among it. */
export function formatYaml(value: unknown): string {
  return stringify(value, { ...options, compat: 'yaml-1.1', lineWidth: 0, aliasDuplicateObjects: false, sortMapEntries: true, indentSeq: false, defaultStringType: 'PLAIN' });
}
