import { channelsOf } from '#common/streams/relay.ts';
import { badRequest, methodNotAllowed, noSuchPath } from '../../api-errors.ts';
import type { Reply } from '../../http/reply.ts';
import type { ApiRequest } from '../../http/request.ts';
import { booleanParameter } from '../../list-options.ts';
import type { RouteDeps } from '../../routes/types.ts';
import { serveProgram } from '../command.ts';
import { gateway } from '../target.ts';

const verbs = ['list', 'load', 'push', 'save', 'prune'] as const;

/**
 * POST nodes/NAME/proxy/images/VERB, upgraded as for exec: what `cleat image` asks of a node. An archive is standard
 * input or output, other answers are JSON on standard output. A push is commands and blobs there, answers here (PushCommand).
 */
export async function serveNodeImages(deps: RouteDeps, nodeName: string, request: ApiRequest, name: string): Promise<Reply> {
  const verb = verbs.find((known) => known === name);
  if (verb === undefined) throw noSuchPath();
  if (request.method !== 'POST') throw methodNotAllowed({ group: '', plural: 'nodes', kind: 'Node' }, request.method.toLowerCase());
  const image = request.query.get('image') ?? '';
  if (verb === 'save' && image === '') throw badRequest('say which image to save: ?image=NAME');
  const streams = { stdin: verb === 'load' || verb === 'push', stdout: true, stderr: false, tty: false };
  const about = { kind: 'images', verb, image, dryRun: booleanParameter(request.query, 'dryRun'), loaded: booleanParameter(request.query, 'loaded'), ...streams } as const;
  return serveProgram(deps, request, streams, () => gateway(deps, nodeName).open(nodeName, about, channelsOf(streams), request.signal));
}
