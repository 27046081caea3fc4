import type { KubeObject, LabelSelector } from '../meta/object.ts';
import type { PodTemplateSpec } from '../gen/types.ts';
import { wideColumn } from '../meta/columns.ts';
import { formatLabelSelector, requirementsOf, validateLabelSelector } from '../meta/selectors.ts';
import type { TableColumn } from '../kinds/types.ts';

interface WithTemplate extends KubeObject {
  spec?: { selector?: LabelSelector | undefined; template?: PodTemplateSpec | undefined } | undefined;
}

interface WithOnlyTemplate extends KubeObject {
  spec?: { template?: PodTemplateSpec | undefined } | undefined;
}

export function containersColumn<T extends WithOnlyTemplate>(): TableColumn<T> {
  return wideColumn('Containers', 'Names of the containers of the template', (object) => containerNames(object.spec?.template));
}

export function imagesColumn<T extends WithOnlyTemplate>(): TableColumn<T> {
  return wideColumn('Images', 'Images of the containers of the template', (object) => containerImages(object.spec?.template));
}

export function containerNames(template: PodTemplateSpec | undefined): string {
  return (template?.spec?.containers ?? []).map(({ name }) => name).join(',');
}

export function containerImages(template: PodTemplateSpec | undefined): string {
  return (template?.spec?.containers ?? []).map(({ image }) => image ?? '').join(',');
}

/** Containers, Images and Selector of a kind that has a pod template. */
export function templateColumns<T extends WithTemplate>(): TableColumn<T>[] {
  return [containersColumn(), imagesColumn(), wideColumn('Selector', 'Labels of the pods that belong to the object', (object) => printSelector(object.spec?.selector))];
}

/** A table is never refused because of one object. */
export function printSelector(selector: LabelSelector | undefined): string {
  if (selector === undefined) return '<none>';
  return validateLabelSelector(selector, '').length > 0 ? '<error>' : formatLabelSelector(requirementsOf(selector)) || '<none>';
}
