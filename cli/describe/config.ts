import type { ConfigMap, LimitRange, Namespace, ResourceQuota, Secret, ServiceAccount } from '#api/gen/types.ts';
import { describeLimits, describeQuotaRows } from './limits.ts';
import { byKey, describeLabels, describeName } from './metadata.ts';
import type { Describe } from './types.ts';

export const describeNamespace: Describe<Namespace> = async (writer, { metadata, status }, { client }) => {
  writer.row(0, 'Name:', metadata?.name ?? '');
  describeLabels(writer, metadata);
  writer.row(0, 'Status:', status?.phase ?? '');
  const path = `/api/v1/namespaces/${encodeURIComponent(metadata?.name ?? '')}`;
  const [quotas, limits] = await Promise.all([client.json<{ items: ResourceQuota[] }>('GET', `${path}/resourcequotas`), client.json<{ items: LimitRange[] }>('GET', `${path}/limitranges`)]);
  if (quotas.items.length === 0) writer.row(0, '\nNo resource quota.');
  else writer.row(0, '\nResource Quotas');
  for (const quota of quotas.items) {
    writer.row(1, 'Name:', quota.metadata?.name ?? '');
    describeQuotaRows(writer, 1, quota, '---');
  }
  if (limits.items.length === 0) writer.row(0, '\nNo LimitRange resource.');
  else {
    writer.row(0, '\nResource Limits');
    describeLimits(writer, limits.items.flatMap(({ spec }) => spec?.limits ?? []), ' ');
  }
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

/** Secrets that are named but not there are marked: pods of this account wait for them. */
export const describeServiceAccount: Describe<ServiceAccount> = async (writer, { metadata, secrets = [], imagePullSecrets = [] }, { client }) => {
  const found = await client.json<{ items: Secret[] }>('GET', `/api/v1/namespaces/${encodeURIComponent(metadata?.namespace ?? '')}/secrets`);
  const namesOf = (references: readonly { readonly name?: string | undefined }[]): string[] => references.map(({ name = '' }) => (found.items.some((secret) => secret.metadata?.name === name) ? name : `${name} (not found)`));
  const ofThis = ({ type, metadata: own }: Secret): boolean => type === 'kubernetes.io/service-account-token' && own?.annotations?.['kubernetes.io/service-account.name'] === metadata?.name && own?.annotations?.['kubernetes.io/service-account.uid'] === metadata?.uid;
  describeName(writer, metadata);
  describeLabels(writer, metadata);
  writer.list('Image pull secrets', namesOf(imagePullSecrets)).list('Mountable secrets', namesOf(secrets)).list('Tokens', found.items.filter(ofThis).map((secret) => secret.metadata?.name ?? ''));
};

function decodedLength(base64: string): number {
  return Buffer.from(base64, 'base64').length;
}
