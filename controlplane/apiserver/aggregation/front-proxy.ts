import type { KeyPair } from '#common/pki/store.ts';
import { extraPrefix, groupHeader, uidHeader, userHeader } from '../auth/request-header.ts';
import type { User } from '../types.ts';

/** By what an aggregated server knows that a request comes from this one, so that it may believe who is named in its headers. */
export interface FrontProxy {
  /** PEM of the CA that signs the client certificate and nothing else. */
  readonly ca: string;
  /** The current client certificate. */
  client(): Promise<KeyPair>;
}

export const frontProxyName = 'front-proxy-client';

/** The data of ConfigMap kube-system/extension-apiserver-authentication, from which aggregated servers learn whom to believe. */
export function authenticationData(clientCa: string, frontProxy: FrontProxy | undefined): Record<string, string> {
  return {
    'client-ca-file': clientCa,
    ...(frontProxy && {
      'requestheader-client-ca-file': frontProxy.ca, 'requestheader-allowed-names': JSON.stringify([frontProxyName]),
      'requestheader-username-headers': JSON.stringify([userHeader]), 'requestheader-group-headers': JSON.stringify([groupHeader]),
      'requestheader-uid-headers': JSON.stringify([uidHeader]), 'requestheader-extra-headers-prefix': JSON.stringify([extraPrefix]),
    }),
  };
}

/** Who makes a request, as headers. Source: https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/ */
export function frontProxyHeaders({ name, groups, uid, extra = {} }: User): Record<string, string | string[]> {
  return {
    [userHeader.toLowerCase()]: octets(name),
    ...(groups.length > 0 && { [groupHeader.toLowerCase()]: groups.map(octets) }),
    ...(uid !== undefined && uid !== '' && { [uidHeader.toLowerCase()]: octets(uid) }),
    ...Object.fromEntries(Object.entries(extra).map(([key, values]) => [`${extraPrefix}${escaped(key)}`.toLowerCase(), values.map(octets)])),
  };
}

/** UTF-8 as Node writes headers: one byte for each character. */
function octets(text: string): string {
  return Buffer.from(text).toString('latin1');
}

/** What no header's name may hold is percent-encoded. */
function escaped(key: string): string {
  return octets(key).replace(/[^!#$&'*+\-.^_`|~0-9A-Za-z]/g, (char) => `%${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
