import { jsonPatch } from '#api/meta/json-patch.ts';
import { mergePatch } from '#api/meta/merge-patch.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { refuse } from '../flags.ts';
import type { Manifest } from '../manifests.ts';

/** The object with the JSON of `--overrides` put over it. `how` is `strategic` only for kinds of Kubernetes itself. */
export async function withOverrides(command: string, manifest: Manifest, text: string | undefined, how: string): Promise<Manifest> {
  if (!['merge', 'strategic', 'json'].includes(how)) throw refuse(command, `invalid override type: ${how}: expected merge, strategic or json`);
  if (text === undefined || text === '') return manifest;
  let patch: unknown;
  try {
    patch = JSON.parse(text);
  } catch (error) {
    throw new StatusError('BadRequest', `Invalid JSON Patch in --overrides: ${messageOf(error)}`, { cause: error });
  }
  if (how === 'json') return jsonPatch(manifest, patch) as Manifest;
  if (how === 'merge') return mergePatch(manifest, patch) as Manifest;
  const [{ strategicMergePatch }, { schemaNamed }] = await Promise.all([import('#api/meta/strategic-merge-patch.ts'), import('#api/meta/schema.ts')]);
  return strategicMergePatch(schemaNamed(manifest.kind), manifest, patch) as Manifest;
}
