import type { Node, Pod, ServiceAccount } from '#api/gen/types.ts';
import { nodes, serviceAccounts } from '#api/kinds/resources.ts';
import type { Lister } from '#controlplane/cache/types.ts';
import { notFound } from '../../api-errors.ts';
import type { Informers } from '../types.ts';
import type { TokenAuthority } from './token-authority.ts';

/** Tokens for the volumes of pods. */
export class PodTokens {
  readonly #authority: TokenAuthority;
  readonly #accounts: Lister<ServiceAccount>;
  readonly #nodes: Lister<Node>;

  constructor(authority: TokenAuthority, informers: Informers) {
    this.#authority = authority;
    this.#accounts = informers.informer(serviceAccounts);
    this.#nodes = informers.informer(nodes);
  }

  /** A token of the account that the pod runs as, good for as long as both are there. Throws NotFound without the account. */
  issue({ metadata, spec }: Pod, audience: string, expirationSeconds: number): string {
    const { namespace = '', name = '', uid = '' } = metadata ?? {};
    const accountName = spec?.serviceAccountName ?? '';
    const account = this.#accounts.get(namespace, accountName);
    if (!account) throw notFound(serviceAccounts, accountName);
    const node = spec?.nodeName ? { name: spec.nodeName, uid: this.#nodes.get(undefined, spec.nodeName)?.metadata?.uid ?? '' } : undefined;
    const bound = { namespace, serviceAccount: { name: accountName, uid: account.metadata?.uid ?? '' }, pod: { name, uid }, ...(node && { node }) };
    return this.#authority.issue(bound, audience === '' ? [] : [audience], expirationSeconds).token;
  }
}
