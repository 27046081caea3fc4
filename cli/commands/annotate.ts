import { metadataCommand } from './label.ts';

export const command = metadataCommand({ verb: 'annotate', field: 'annotations', noun: 'annotation', done: 'annotated', removed: 'annotated', nothing: 'annotated' });
