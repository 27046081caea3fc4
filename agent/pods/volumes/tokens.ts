import type { Pod, ServiceAccountTokenProjection, Volume } from '#api/gen/types.ts';
import { messageOf, StatusError, toStatus } from '#common/errors.ts';
import type { PodTokenRequest } from '#agent/session/types.ts';

/** By path in the volume, and when to look again, in milliseconds from now. */
export interface VolumeTokens {
  readonly tokens: ReadonlyMap<string, string>;
  readonly renewInMs: number;
}

const defaultSeconds = 3600;
const dayMs = 86_400_000;
/** Tokens are renewed after this part of their life, and at least daily; as kubelet does. */
const renewAtShare = 0.8;
/** A token that could not be renewed is asked for again so much later. */
const retryMs = 300_000;

export function hasTokens(pod: Pod): boolean {
  return (pod.spec?.volumes ?? []).some((volume) => sourcesOf(volume).length > 0);
}

function sourcesOf(volume: Volume): ServiceAccountTokenProjection[] {
  return (volume.projected?.sources ?? []).flatMap(({ serviceAccountToken }) => serviceAccountToken ?? []);
}

/**
 * The tokens of a projected volume: those `kept`, by their path, while they are fresh, new ones when they can be had.
 * An old token serves until then, so that a pod starts while the control plane is away; only one that never was is an error.
 */
export async function volumeTokens(pod: Pod, volume: Volume, kept: (path: string) => Promise<string | undefined>, fetch: (request: PodTokenRequest) => Promise<string>, nowMs: number): Promise<VolumeTokens | undefined> {
  const sources = sourcesOf(volume);
  if (sources.length === 0) return undefined;
  const { namespace = '', name: podName = '', uid: podUid = '' } = pod.metadata ?? {};
  const tokens = new Map<string, string>();
  let renewInMs = dayMs;
  for (const { path, audience = '', expirationSeconds = defaultSeconds } of sources) {
    const before = await kept(path);
    let token = before;
    let waitMs = before === undefined ? 0 : freshForMs(before, nowMs);
    if (token === undefined || waitMs <= 0) {
      try {
        token = await fetch({ namespace, podName, podUid, audience, expirationSeconds });
        waitMs = Math.max(retryMs, freshForMs(token, nowMs));
      } catch (error) {
        if (before === undefined) throw new StatusError(toStatus(error).code, `failed to fetch token: ${messageOf(error)}`, { cause: error });
        waitMs = retryMs;
      }
    }
    if (token !== undefined) tokens.set(path, token);
    renewInMs = Math.min(renewInMs, waitMs);
  }
  return { tokens, renewInMs };
}

/** How long until the token should be renewed; negative when that is past, or when it cannot be read. */
function freshForMs(token: string, nowMs: number): number {
  try {
    const { iat, exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { iat?: unknown; exp?: unknown };
    if (typeof iat !== 'number' || typeof exp !== 'number') return -1;
    return iat * 1000 + Math.min(dayMs, (exp - iat) * 1000 * renewAtShare) - nowMs;
  } catch {
    return -1;
  }
}
