import type { LimitRange, LimitRangeItem } from '../../gen/types.ts';
import { column, nameColumn } from '../../meta/columns.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { limitRanges } from '../resources.ts';
import type { KindDefinition } from '../types.ts';
import { validateLimitRange } from './validate.ts';

/** A container that asks for nothing gets the most that it may have, and is counted for that, unless the range says otherwise. */
function setItemDefaults(item: LimitRangeItem): void {
  if (item.type !== 'Container') return;
  const limits = { ...item.max, ...item.default };
  const requests = { ...item.min, ...limits, ...item.defaultRequest };
  if (Object.keys(limits).length > 0 || item.default !== undefined) item.default = limits;
  if (Object.keys(requests).length > 0 || item.defaultRequest !== undefined) item.defaultRequest = requests;
}

export const limitRange: KindDefinition<LimitRange> = {
  resource: limitRanges,
  singular: 'limitrange',
  shortNames: ['limits'],
  categories: [],
  schema: () => schemaNamed('LimitRange'),
  storage: 'durable',
  status: false,
  nameRule: 'dns-subdomain',
  setDefaults: ({ spec }) => { for (const item of spec?.limits ?? []) setItemDefaults(item); },
  validate: validateLimitRange,
  selectableFields: {},
  columns: [nameColumn(), column('Created At', 'When it was created', ({ metadata }) => metadata?.creationTimestamp ?? '<unknown>', 'date')],
};
