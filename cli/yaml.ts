import { parseAllDocuments, stringify } from 'yaml';
import { StatusError } from '#common/errors.ts';
import { kubernetesYaml, kubernetesYamlStyle } from '#common/yaml-options.ts';

/** The documents of a text. `source` names it in errors. */
export function parseYaml(text: string, source: string): unknown[] {
  const documents = parseAllDocuments(text, { ...kubernetesYaml, uniqueKeys: true, prettyErrors: true });
  if (!Array.isArray(documents)) return [];
  return documents.map((document, index) => {
    const [problem] = document.errors;
    if (problem) throw new StatusError('BadRequest', `error parsing ${source}: document ${String(index + 1)}: ${problem.message}`);
    return document.toJS({ maxAliasCount: 100 }) as unknown;
  });
}

export function formatYaml(value: unknown): string {
  return stringify(value, kubernetesYamlStyle);
}
