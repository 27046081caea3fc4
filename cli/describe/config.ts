import type { ConfigMap, Namespace, Secret } from '#api/gen/types.ts';
import { byKey, describeLabels, describeName } from './metadata.ts';
import type { Describe } from './types.ts';

export const describeNamespace: Describe<Namespace> = (writer, { metadata, status }) => {
  writer.row(0, 'Name:', metadata?.name ?? '');
  describeLabels(writer, metadata);
  writer.row(0, 'Status:', status?.phase ?? '');
  return Promise.resolve();
};

export const describeConfigMap: Describe<ConfigMap> = (writer, { metadata, data, binaryData }) => {
  describeName(writer, metadata);
  describeLabels(writer, metadata);
  writer.row(0, '\nData\n====');
  for (const [key, value] of Object.entries(data ?? {}).sort(byKey)) writer.row(0, `${key}:\n----\n${value}\n`);
  writer.row(0, '\nBinaryData\n====');
  for (const [key, value] of Object.entries(binaryData ?? {}).sort(byKey)) writer.row(0, `${key}: ${String(decodedLength(value))} bytes`);
  writer.row(0, '');
  return Promise.resolve();
};

/** Sizes only: a secret must not end up on a screen by accident. */
export const describeSecret: Describe<Secret> = (writer, { metadata, type, data }) => {
  describeName(writer, metadata);
  describeLabels(writer, metadata);
  writer.row(0, '').row(0, 'Type:', type ?? '').row(0, '\nData\n====');
  for (const [key, value] of Object.entries(data ?? {}).sort(byKey)) writer.row(0, `${key}:`, `${String(decodedLength(value))} bytes`);
  return Promise.resolve();
};

function decodedLength(base64: string): number {
  return Buffer.from(base64, 'base64').length;
}
