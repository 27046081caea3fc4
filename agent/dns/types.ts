import type { Answer, RecordType } from 'dns-packet';

export type DnsRecord = Answer;

export interface Question {
  readonly name: string;
  readonly type: RecordType;
}

/** Response codes of RFC 1035 that are given here, by number. */
export const rcodes = { noError: 0, formatError: 1, serverFailure: 2, nameError: 3, notImplemented: 4, refused: 5 } as const;
export type Rcode = number;

/** What is answered to one question. */
export interface Reply {
  readonly rcode: Rcode;
  readonly authoritative: boolean;
  readonly answers: readonly DnsRecord[];
  readonly authorities: readonly DnsRecord[];
}

/** Where questions about other names go. */
export interface Upstreams {
  /** Servers of everything else, as `address` or `address:port`, in order of preference. */
  readonly servers: readonly string[];
  /** Domain → its servers. */
  readonly stubDomains: ReadonlyMap<string, readonly string[]>;
}

/** Sends one question to one server. Rejects with StatusError `Timeout` or `ServiceUnavailable`. */
export type Exchange = (server: string, question: Question, signal: AbortSignal) => Promise<Reply>;
