import { methodNotAllowed, noSuchPath } from '../../api-errors.ts';
import type { Reply } from '../../http/reply.ts';
import { proxyPath } from '../../http/request.ts';
import type { KindCall, RouteDeps } from '../../routes/types.ts';
import { upgradeOf } from '../protocols.ts';
import { forward } from './forward.ts';
import { nodeTarget, podTarget, serviceTarget } from './target.ts';

/** Answers the proxy subresource of Pods, Services and Nodes. Source: https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/ */
export async function serveProxy(deps: RouteDeps, call: KindCall): Promise<Reply> {
  const { request, path: { plural } } = call;
  const [, prefix = '', path = ''] = proxyPath.exec(request.path) ?? [];
  if (prefix === '') throw noSuchPath();
  const { url = '' } = request.incoming;
  const query = url.includes('?') ? url.slice(url.indexOf('?')) : '';
  if (path === '' && (request.method === 'GET' || request.method === 'HEAD') && upgradeOf(request.headers) === '') {
    // Links of the page that follows are relative to a folder.
    return { status: 301, contentType: '', body: '', headers: { Location: `${request.path}/${query}` } };
  }
  const own = `${path === '' ? '/' : path}${query}`;
  if (plural === 'pods') return forward(request, await podTarget(deps, call), own, prefix);
  if (plural === 'services') return forward(request, await serviceTarget(deps, call), own, prefix);
  if (plural !== 'nodes') throw methodNotAllowed(call.kind.resource, 'proxy');
  const { node, target } = await nodeTarget(deps, call);
  if (target) return forward(request, target, own, prefix);
  const { serveKubelet } = await import('./kubelet.ts');
  return serveKubelet(deps, node, request, path);
}
