import type { PodSpec, PodTemplateSpec, Toleration, Volume } from '#api/gen/types.ts';
import { describeContainers } from './containers.ts';
import { describeAnnotations, pairs } from './metadata.ts';
import type { DescribeWriter } from './writer.ts';

export function describeTemplate(writer: DescribeWriter, template: PodTemplateSpec | undefined): void {
  writer.row(0, 'Pod Template:');
  if (!template) { writer.row(1, '<unset>'); return; }
  const { metadata, spec } = template;
  writer.list('  Labels', pairs(metadata?.labels));
  if (Object.keys(metadata?.annotations ?? {}).length > 0) describeAnnotations(writer, '  Annotations', metadata?.annotations);
  if (spec?.serviceAccountName) writer.row(1, 'Service Account:', spec.serviceAccountName);
  if (spec?.initContainers?.length) describeContainers(writer, { title: 'Init Containers', containers: spec.initContainers });
  describeContainers(writer, { title: 'Containers', containers: spec?.containers ?? [] });
  describeVolumes(writer, spec?.volumes, '  ');
  if (spec?.priorityClassName) writer.row(1, 'Priority Class Name:', spec.priorityClassName);
  describePlacement(writer, spec, '  ');
}

/** Node selector and tolerations. */
export function describePlacement(writer: DescribeWriter, spec: PodSpec | undefined, indent = ''): void {
  const sorted = (spec?.tolerations ?? []).toSorted((a, b) => ((a.key ?? '') < (b.key ?? '') ? -1 : 1));
  writer.list(`${indent}Node-Selectors`, pairs(spec?.nodeSelector)).list(`${indent}Tolerations`, sorted.map(tolerationText));
}

function tolerationText({ key = '', value = '', effect = '', operator, tolerationSeconds }: Toleration): string {
  const what = `${key}${value && `=${value}`}${effect && `:${effect}`}`;
  const exists = operator === 'Exists' && value === '' ? `${what && ' '}op=Exists` : '';
  return `${what}${exists}${tolerationSeconds === undefined ? '' : ` for ${String(tolerationSeconds)}s`}`;
}

export function describeVolumes(writer: DescribeWriter, volumes: readonly Volume[] = [], indent = ''): void {
  if (volumes.length === 0) { writer.row(0, `${indent}Volumes:`, '<none>'); return; }
  writer.row(0, `${indent}Volumes:`);
  for (const volume of volumes) {
    writer.row(1, `${indent && ' '}${volume.name}:`);
    for (const [name, value] of volumeRows(volume)) writer.row(2, `${name}:`, value);
    if (!volume.downwardAPI) continue;
    writer.row(2, 'Items:');
    for (const { fieldRef, path } of volume.downwardAPI.items ?? []) writer.row(3, `${fieldRef?.fieldPath ?? ''} -> ${path}`);
  }
}

type Rows = readonly (readonly [string, string | number | boolean])[];

function volumeRows({ hostPath, emptyDir, secret, configMap, projected, persistentVolumeClaim: claim, downwardAPI }: Volume): Rows {
  if (hostPath) return [['Type', 'HostPath (bare host directory volume)'], ['Path', hostPath.path], ['HostPathType', hostPath.type ?? '']];
  if (emptyDir) return [['Type', "EmptyDir (a temporary directory that shares a pod's lifetime)"], ['Medium', emptyDir.medium ?? ''], ['SizeLimit', emptyDir.sizeLimit ?? '<unset>']];
  if (secret) return [['Type', 'Secret (a volume populated by a Secret)'], ['SecretName', secret.secretName ?? ''], ['Optional', secret.optional ?? false]];
  if (configMap) return [['Type', 'ConfigMap (a volume populated by a ConfigMap)'], ['Name', configMap.name ?? ''], ['Optional', configMap.optional ?? false]];
  if (claim) return [['Type', 'PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)'], ['ClaimName', claim.claimName], ['ReadOnly', claim.readOnly ?? false]];
  if (downwardAPI) return [['Type', 'DownwardAPI (a volume populated by information about the pod)']];
  if (projected) {
    return [['Type', 'Projected (a volume that contains injected data from multiple sources)'], ...(projected.sources ?? []).flatMap((source): Rows => {
      if (source.secret) return [['SecretName', source.secret.name ?? ''], ['SecretOptionalName', source.secret.optional ?? '<nil>']];
      if (source.configMap) return [['ConfigMapName', source.configMap.name ?? ''], ['ConfigMapOptional', source.configMap.optional ?? '<nil>']];
      if (source.serviceAccountToken) return [['TokenExpirationSeconds', source.serviceAccountToken.expirationSeconds ?? 3600]];
      return source.downwardAPI ? [['DownwardAPI', true]] : [];
    })];
  }
  return [['Type', '<unknown>']];
}
