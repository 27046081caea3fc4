import type { KubeObject, LabelSelector } from '../meta/object.ts';
import type { PodTemplateSpec } from '../gen/types.ts';
import { wideColumn } from '../meta/columns.ts';
import { formatLabelSelector, requirementsOf, validateLabelSelector } from '../meta/selectors.ts';
import type { TableColumn } from '../kinds/types.ts';

interface WithTemplate extends KubeObject {
  spec?: { selector: LabelSelector; template?: PodTemplateSpec | undefined } | undefined;
}

/** Containers, Images and Selector of a kind that has a pod template. */
export function templateColumns<T extends WithTemplate>(): TableColumn<T>[] {
  return [
    wideColumn('Containers', 'Names of the containers of the template', (object) => (object.spec?.template?.spec?.containers ?? []).map(({ name }) => name).join(',')),
    wideColumn('Images', 'Images of the containers of the template', (object) => (object.spec?.template?.spec?.containers ?? []).map(({ image }) => image ?? '').join(',')),
    wideColumn('Selector', 'Labels of the pods that belong to the object', (object) => printSelector(object.spec?.selector)),
  ];
}

/** A table is never refused because of one object. */
function printSelector(selector: LabelSelector | undefined): string {
  if (selector === undefined) return '<none>';
  return validateLabelSelector(selector, '').length > 0 ? '<error>' : formatLabelSelector(requirementsOf(selector)) || '<none>';
}
