import type { Pod } from '#api/gen/types.ts';
import { pods } from '#api/kinds/resources.ts';
import { StatusError } from '#common/errors.ts';
import type { PodTokenRequest } from '#proto/edge/v1/messages.ts';
import type { Lister } from '../cache/types.ts';
import type { NodeIdentity } from './peer.ts';

/** Makes tokens of service accounts, bound to pods; throws NotFound when the account is gone. */
export interface PodTokenIssuer {
  issue(pod: Pod, audience: string, expirationSeconds: number): string;
}

interface Deps {
  readonly tokens?: PodTokenIssuer;
  readonly informers: { readonly pods: Lister<Pod> };
}

const defaultSeconds = 3600;

/** A node gets tokens for its own pods only, and only those that a volume of the pod asks for. */
export function podToken({ tokens, informers }: Deps, node: NodeIdentity, { namespace, podName, podUid, audience, expirationSeconds }: PodTokenRequest): string {
  if (!tokens) throw new StatusError('ServiceUnavailable', 'this control plane issues no tokens');
  const pod = informers.pods.get(namespace, podName);
  if (pod?.metadata?.uid !== podUid || pod.spec?.nodeName !== node.name) throw new StatusError('NotFound', `${pods.plural} "${podName}" of uid ${podUid} not found on node ${node.name}`);
  const sources = (pod.spec.volumes ?? []).flatMap(({ projected }) => projected?.sources ?? []).flatMap(({ serviceAccountToken }) => serviceAccountToken ?? []);
  const asked = sources.some((source) => (source.audience ?? '') === audience && (source.expirationSeconds ?? defaultSeconds) === expirationSeconds);
  if (!asked) throw new StatusError('Forbidden', `no volume of pod "${podName}" asks for a token for audience ${JSON.stringify(audience)} of ${String(expirationSeconds)} s`);
  return tokens.issue(pod, audience, expirationSeconds);
}
