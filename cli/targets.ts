import { StatusError } from '#common/errors.ts';
import type { RestClient } from './client.ts';
import { refuse, type Flag, type ParsedFlags } from './flags.ts';
import { readManifests, type Manifest, type Read } from './manifests.ts';
import { checkedName } from './names.ts';
import { namespaceOf, parseTargets, resolveKind, type Target } from './resources.ts';
import type { Io } from './types.ts';

/** Flags of commands that take their objects from a file as well. */
export const fileFlags: readonly Flag[] = [
  { name: 'filename', short: 'f', type: 'list', description: 'the objects of this file, folder or URL, or - for standard input' },
  { name: 'kustomize', short: 'k', type: 'string', description: 'the objects that the kustomization in this folder describes' },
  { name: 'recursive', short: 'R', type: 'bool', description: 'folders below folders too' },
];

/** True when the objects are to be read from somewhere. */
export function hasFiles(parsed: ParsedFlags): boolean {
  return parsed.has('filename') || parsed.has('kustomize');
}

/** The objects of `-f` or `-k`. */
export async function readFiles(command: string, parsed: ParsedFlags, io: Io): Promise<Read[]> {
  if (!hasFiles(parsed)) throw refuse(command, 'must specify one of -f and -k');
  if (!parsed.has('kustomize')) return readManifests(parsed.list('filename'), parsed.bool('recursive'), io.stdin);
  if (parsed.has('filename')) throw refuse(command, 'only one of -f or -k can be specified');
  if (parsed.bool('recursive')) throw refuse(command, "the -k flag can't be used with -f or -R");
  const [{ buildKustomization }, { jsonNumber }] = await Promise.all([import('./kustomize/build.ts'), import('./kustomize/read.ts')]);
  const source = parsed.string('kustomize') ?? '';
  const objects = await buildKustomization(source, (line) => io.err(`${line}\n`));
  return objects.map((fields) => ({ manifest: JSON.parse(JSON.stringify(fields, jsonNumber)) as Manifest, source }));
}

/** The objects that a command is about: those named, or those of `-f` or `-k`. */
export async function readTargets(command: string, client: RestClient, parsed: ParsedFlags, io: Io): Promise<Target[]> {
  if (!hasFiles(parsed)) return parseTargets(client, parsed.args, command);
  if (parsed.args.length > 0) throw refuse(command, 'when paths or stdin is provided as resource input, you may not specify resource arguments as well');
  const read = await readFiles(command, parsed, io);
  return Promise.all(read.map(async ({ manifest, source }): Promise<Target> => {
    const type = await resolveKind(client, manifest, source);
    const { metadata } = manifest;
    if (metadata.name === undefined || metadata.name === '') throw new StatusError('BadRequest', `the ${manifest.kind} in ${source} has no metadata.name: resource name may not be empty`);
    return { type, name: checkedName(metadata.name), namespace: namespaceOf(type, metadata.namespace, { namespace: client.connection.namespace, enforced: parsed.has('namespace') }) };
  }));
}
