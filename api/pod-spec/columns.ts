import type { KubeObject } from '../meta/object.ts';
import type { PodTemplateSpec } from '../gen/types.ts';
import { wideColumn } from '../meta/columns.ts';
import { formatLabelSelector, requirementsOf } from '../meta/selectors.ts';
import type { TableColumn } from '../kinds/types.ts';
import type { LabelSelector } from '../meta/object.ts';

interface WithTemplate extends KubeObject {
  spec?: { selector: LabelSelector; template?: PodTemplateSpec | undefined } | undefined;
}

/** Containers, Images and Selector of a kind that has a pod template. */
export function templateColumns<T extends WithTemplate>(): TableColumn<T>[] {
  return [
    wideColumn('Containers', 'Names of the containers of the template', (object) => (object.spec?.template?.spec?.containers ?? []).map(({ name }) => name).join(',')),
    wideColumn('Images', 'Images of the containers of the template', (object) => (object.spec?.template?.spec?.containers ?? []).map(({ image }) => image ?? '').join(',')),
    wideColumn('Selector', 'Labels of the pods that belong to the object', (object) => formatLabelSelector(object.spec?.selector === undefined ? [] : requirementsOf(object.spec.selector)) || '<none>'),
  ];
}
