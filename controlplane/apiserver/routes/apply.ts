import { apiVersionOf } from '#api/kinds/resources.ts';
import type { Scale } from '#api/gen/types.ts';
import type { Subresource } from '#api/kinds/engine.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import { isRecord } from '#api/meta/json.ts';
import { serverSideApply, type Writer } from '#api/meta/managed-fields/apply.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { rfc3339 } from '#common/time.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import { badRequest } from '../api-errors.ts';
import { withVersions } from '../managed-versions.ts';
import type { Written } from '../resource-store.ts';
import { scaleConfig, scaleKind } from '../scale.ts';
import { requireCreate } from './create-access.ts';
import type { KindCall, RouteDeps } from './types.ts';
import { decodeApplied, readStrictly } from './documents.ts';
import { applyOptions, applyType, checkAddress, writeOptions } from './write-parameters.ts';

const maxAttempts = 5;

/** PATCH with `application/apply-patch+yaml`: updates the object, or makes it. */
export async function applyObject({ resources, kinds, clock, authorizer }: RouteDeps, call: KindCall, warnings: string[]): Promise<{ written: Written; created: boolean }> {
  const { kind, path, request, user } = call;
  const { manager, force } = applyOptions(request.query);
  const options = { ...writeOptions(request, user, 'PatchOptions'), subresource: path.subresource as Subresource | undefined, applied: true, warnings };
  const document = await readStrictly(request, [applyType]);
  if (!isRecord(document.value) || !document.value['apiVersion'] || !document.value['kind']) throw badRequest('an applied configuration must name its apiVersion and kind');
  const config = decodeApplied<KubeObject>(path.subresource === 'scale' ? scaleKind : kind, document, path.namespace, request.query, warnings);
  if (config.metadata?.managedFields !== undefined) throw badRequest('metadata.managedFields must be nil');
  checkAddress(config, path.namespace, path.name ?? '');
  const said = path.subresource === 'scale' && kind.scale ? scaleConfig(kind, kind.scale, path.name ?? '', config as Scale) : ownPart(kind, config, path.subresource);
  const writer: Writer = { manager, subresource: path.subresource ?? '', apiVersion: apiVersionOf(kind.resource), now: rfc3339(clock.now()) };
  const schema = kind.schema();
  for (let attempt = 1; ; attempt++) {
    try {
      return { written: await resources.update(kind, path.namespace, path.name ?? '', (current) => withVersions(kinds, kind, [current], (versions) => serverSideApply(schema, current, said, writer, force, versions)), options), created: false };
    } catch (error) {
      if (!isStatus(error, 'NotFound') || path.subresource !== undefined) throw error;
    }
    await requireCreate(authorizer, call);
    if (config.metadata?.uid) throw new StatusError('Conflict', `uid mismatch: the provided object specified uid ${config.metadata.uid}, and no existing object was found`);
    try {
      return { written: await resources.create(kind, path.namespace, serverSideApply(schema, undefined, said, writer, force), options), created: true };
    } catch (error) {
      // Somebody else has made it meanwhile.
      if (attempt >= maxAttempts || !isStatus(error, 'AlreadyExists')) throw error;
    }
  }
}

/** What may be set by this way: never the status through the main resource, nor anything but the status through its own. */
function ownPart(kind: KindDefinition, config: KubeObject, subresource: string | undefined): KubeObject {
  if (!kind.status) return config;
  const { apiVersion, kind: name, metadata = {} } = config;
  const status: unknown = 'status' in config ? config.status : undefined;
  if (subresource === 'status') {
    const { finalizers: _, ownerReferences: __, generateName: ___, ...rest } = metadata;
    return { apiVersion, kind: name, metadata: rest, ...(status !== undefined && { status }) } as KubeObject;
  }
  const rest = { ...config };
  Reflect.deleteProperty(rest, 'status');
  return rest;
}
