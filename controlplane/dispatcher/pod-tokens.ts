import type { CSIDriver, Pod } from '#api/gen/types.ts';
import { pods } from '#api/kinds/resources.ts';
import { StatusError } from '#common/errors.ts';
import type { PodTokenRequest } from '#proto/edge/v1/messages.ts';
import type { Lister } from '../cache/types.ts';
import type { NodeIdentity } from './peer.ts';
import { driversOf, type StorageListers } from './references.ts';

/** Makes tokens of service accounts, bound to pods; throws NotFound when the account is gone. */
export interface PodTokenIssuer {
  issue(pod: Pod, audience: string, expirationSeconds: number): string;
}

interface Deps {
  readonly tokens?: PodTokenIssuer;
  readonly informers: { readonly pods: Lister<Pod>; readonly csiDrivers?: Lister<CSIDriver> } & StorageListers;
}

const defaultSeconds = 3600;

/** A node gets tokens for its own pods only, and only those that a volume of the pod, or its CSI driver, asks for. */
export function podToken({ tokens, informers }: Deps, node: NodeIdentity, { namespace, podName, podUid, audience, expirationSeconds }: PodTokenRequest): string {
  if (!tokens) throw new StatusError('ServiceUnavailable', 'this control plane issues no tokens');
  const pod = informers.pods.get(namespace, podName);
  if (pod?.metadata?.uid !== podUid || pod.spec?.nodeName !== node.name) throw new StatusError('NotFound', `${pods.plural} "${podName}" of uid ${podUid} not found on node ${node.name}`);
  const sources = (pod.spec.volumes ?? []).flatMap(({ projected }) => projected?.sources ?? []).flatMap(({ serviceAccountToken }) => serviceAccountToken ?? []);
  const ofDrivers = driversOf(pod, informers).flatMap((name) => informers.csiDrivers?.get(undefined, name)?.spec.tokenRequests ?? []);
  const asked = [...sources, ...ofDrivers].some((source) => (source.audience ?? '') === audience && (source.expirationSeconds ?? defaultSeconds) === expirationSeconds);
  if (!asked) throw new StatusError('Forbidden', `no volume of pod "${podName}" asks for a token for audience ${JSON.stringify(audience)} of ${String(expirationSeconds)} s`);
  return tokens.issue(pod, audience, expirationSeconds);
}
