import { StatusError } from '#common/errors.ts';
import { valuesAt } from './jsonpath.ts';
import { columns } from './table.ts';

/** `-o custom-columns=NAME:.metadata.name,NODE:.spec.nodeName`: one line per object, `<none>` for what is missing. */
export function customColumns(spec: string, items: readonly unknown[], headers: boolean): string {
  const parts = spec.split(',').map((part) => {
    const colon = part.indexOf(':');
    if (colon < 1 || colon === part.length - 1) throw new StatusError('BadRequest', `unexpected custom-columns spec: ${part}, expected <header>:<json-path-expr>`);
    return { header: part.slice(0, colon), path: part.slice(colon + 1) };
  });
  const rows = items.map((item) => parts.map(({ path }) => valuesAt(path, item).join(',') || '<none>'));
  return columns(headers ? [parts.map(({ header }) => header), ...rows] : rows);
}
