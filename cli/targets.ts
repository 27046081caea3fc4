import { StatusError } from '#common/errors.ts';
import type { RestClient } from './client.ts';
import { refuse, type Flag, type ParsedFlags } from './flags.ts';
import { readManifests } from './manifests.ts';
import { checkedName } from './names.ts';
import { parseTargets, resolveKind, type Target } from './resources.ts';
import type { Io } from './types.ts';

/** Flags of commands that take their objects from a file as well. */
export const fileFlags: readonly Flag[] = [
  { name: 'filename', short: 'f', type: 'list', description: 'the objects of this file, folder or URL, or - for standard input' },
  { name: 'recursive', short: 'R', type: 'bool', description: 'folders below folders too' },
];

/** The objects that a command is about: those named, or those of `-f`. */
export async function readTargets(command: string, client: RestClient, parsed: ParsedFlags, io: Io): Promise<Target[]> {
  if (!parsed.has('filename')) return parseTargets(client, parsed.args, command);
  if (parsed.args.length > 0) throw refuse(command, 'when paths or stdin is provided as resource input, you may not specify resource arguments as well');
  const read = await readManifests(parsed.list('filename'), parsed.bool('recursive'), io.stdin);
  return Promise.all(read.map(async ({ manifest, source }): Promise<Target> => {
    const type = await resolveKind(client, manifest, source);
    const { metadata } = manifest;
    if (metadata.name === undefined || metadata.name === '') throw new StatusError('BadRequest', `the ${manifest.kind} in ${source} has no metadata.name: resource name may not be empty`);
    return { type, name: checkedName(metadata.name), namespace: type.namespaced ? (metadata.namespace ?? client.connection.namespace) : undefined };
  }));
}
