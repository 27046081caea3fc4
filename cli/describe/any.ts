import type { KubeObject } from '#api/meta/object.ts';
import { byKey, describeLabels, describeName } from './metadata.ts';
import type { Describe } from './types.ts';
import type { DescribeWriter } from './writer.ts';

const metadataShownAbove = new Set(['name', 'namespace', 'labels', 'annotations', 'managedFields']);

/** Any object as an indented list of its fields. */
export const describeAny: Describe<KubeObject> = (writer, object) => {
  describeName(writer, object.metadata);
  describeLabels(writer, object.metadata);
  const metadata = Object.fromEntries(Object.entries(object.metadata ?? {}).filter(([key]) => !metadataShownAbove.has(key)));
  describeFields(writer, 0, { ...object, metadata });
  return Promise.resolve();
};

function describeFields(writer: DescribeWriter, level: number, fields: Readonly<Record<string, unknown>>): void {
  for (const [key, value] of Object.entries(fields).sort(byKey)) {
    const title = `${titleOf(key)}:`;
    if (Array.isArray(value)) {
      writer.row(level, title);
      for (const item of value as unknown[]) {
        if (isRecord(item)) describeFields(writer, level + 1, item);
        else writer.row(level + 1, String(item));
      }
    } else if (isRecord(value)) {
      writer.row(level, title);
      describeFields(writer, level + 1, value);
    } else {
      writer.row(level, title, String(value));
    }
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const acronyms = new Set(['API', 'URL', 'UID', 'OSB', 'GUID', 'IP', 'CIDR', 'TLS']);

/** `creationTimestamp` → `Creation Timestamp`, `apiVersion` → `API Version`. */
function titleOf(key: string): string {
  const words = key.match(/[A-Z]+(?![a-z])|[A-Z]?[^A-Z]+/g) ?? [key];
  return words.map((word) => (acronyms.has(word.toUpperCase()) ? word.toUpperCase() : word.replace(/^./, (first) => first.toUpperCase()))).join(' ');
}
