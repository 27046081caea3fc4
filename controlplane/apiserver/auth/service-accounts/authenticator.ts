import type { ObjectMeta, Secret } from '#api/gen/types.ts';
import { nodes, pods, secrets, serviceAccounts } from '#api/kinds/resources.ts';
import type { KubeObject } from '#api/meta/object.ts';
import type { Clock } from '#common/clock.ts';
import type { Informer } from '#controlplane/cache/types.ts';
import { unauthorized } from '../authenticators.ts';
import type { Informers, TokenAuthenticator, TokenIdentity } from '../types.ts';
import { accountUser, type Reference, type TokenClaims } from './claims.ts';
import type { TokenAuthority } from './token-authority.ts';

/** Something that is being deleted still counts for so long after its time was up. */
const leewayMs = 60_000;

/** Believes the tokens of service accounts while the account, and what the token is bound to, are there. */
export class ServiceAccountAuthenticator implements TokenAuthenticator {
  readonly #authority: TokenAuthority;
  readonly #clock: Clock;
  readonly #accounts: Informer<KubeObject>;
  readonly #pods: Informer<KubeObject>;
  readonly #secrets: Informer<Secret>;
  readonly #nodes: Informer<KubeObject>;

  constructor(deps: { readonly authority: TokenAuthority; readonly informers: Informers; readonly clock: Clock }) {
    this.#authority = deps.authority;
    this.#clock = deps.clock;
    this.#accounts = deps.informers.informer(serviceAccounts);
    this.#pods = deps.informers.informer(pods);
    this.#secrets = deps.informers.informer(secrets);
    this.#nodes = deps.informers.informer(nodes);
  }

  async synced(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#accounts, this.#pods, this.#secrets, this.#nodes].map((informer) => informer.synced(signal)));
  }

  authenticateToken(token: string, audiences: readonly string[]): TokenIdentity | undefined {
    if (!this.#authority.isOurs(token)) return undefined;
    const claims = this.#authority.verify(token);
    if ('problem' in claims) throw unauthorized(claims.problem);
    // A token that a Secret holds names no audience: it is for the API.
    const meant = claims.legacySecretName === undefined ? claims.audiences.filter((audience) => audiences.includes(audience)) : audiences.filter((audience) => audience === this.#authority.issuer);
    if (meant.length === 0) throw unauthorized(`token audiences ${JSON.stringify(claims.audiences)} is invalid for the target audiences ${JSON.stringify(audiences)}`);
    this.#checkObjects(claims, token);
    const { namespace, serviceAccount } = claims;
    return {
      audiences: meant,
      user: { name: accountUser(namespace, serviceAccount.name), uid: serviceAccount.uid, groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`], ...extraOf(claims) },
    };
  }

  #checkObjects({ namespace, serviceAccount, pod, secret, node, legacySecretName }: TokenClaims, token: string): void {
    this.#check('service account', this.#accounts.get(namespace, serviceAccount.name), serviceAccount);
    if (pod) this.#check('pod', this.#pods.get(namespace, pod.name), pod);
    if (secret) this.#check('secret', this.#secrets.get(namespace, secret.name), secret);
    // A pod's node only informs; a token that is bound to a node alone needs it.
    if (node && !pod) this.#check('node', this.#nodes.get(undefined, node.name), node);
    if (legacySecretName === undefined) return;
    const kept = this.#secrets.get(namespace, legacySecretName);
    const data = kept?.data?.['token'];
    if (data === undefined || Buffer.from(data, 'base64').toString() !== token) throw unauthorized('token has been invalidated: its secret holds another, or is gone');
  }

  #check(what: string, object: { readonly metadata?: ObjectMeta | undefined } | undefined, { name, uid }: Reference): void {
    const deadline = object?.metadata?.deletionTimestamp;
    if (!object || (deadline !== undefined && Date.parse(deadline) + leewayMs < this.#clock.now())) throw unauthorized(`${what} ${name} has been deleted`);
    if (object.metadata?.uid !== uid) throw unauthorized(`${what} ${name} is another than the token was made for`);
  }
}

function extraOf({ id, pod, node }: TokenClaims): { extra?: Record<string, string[]> } {
  const extra = {
    ...(id !== undefined && { 'authentication.kubernetes.io/credential-id': [`JTI=${id}`] }),
    ...(node && { 'authentication.kubernetes.io/node-name': [node.name], 'authentication.kubernetes.io/node-uid': [node.uid] }),
    ...(pod && { 'authentication.kubernetes.io/pod-name': [pod.name], 'authentication.kubernetes.io/pod-uid': [pod.uid] }),
  };
  return Object.keys(extra).length > 0 ? { extra } : {};
}
