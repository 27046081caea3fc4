import { randomInt } from 'node:crypto';
import { StatusError } from '../errors.ts';

/** What `cleat token create` prints and `--token` takes: `ID.SECRET.FINGERPRINT`. */
export interface JoinToken {
  /** 6 characters of [a-z0-9]; names the Secret `bootstrap-token-ID` in kube-system. */
  readonly id: string;
  /** 16 characters of [a-z0-9]. */
  readonly secret: string;
  /** Lowercase hex SHA-256 of the CA certificate's DER. */
  readonly fingerprint: string;
}

/** A new token for the CA with this fingerprint. */
export function makeJoinToken(fingerprint: string): JoinToken {
  return { id: randomText(6), secret: randomText(16), fingerprint };
}

export function formatJoinToken(token: JoinToken): string {
  return `${token.id}.${token.secret}.${token.fingerprint}`;
}

/** Rejects with `Invalid`; the message does not repeat the secret. */
export function parseJoinToken(text: string): JoinToken {
  const match = /^([a-z0-9]{6})\.([a-z0-9]{16})\.([0-9a-f]{64})$/.exec(text.trim());
  if (!match) throw new StatusError('Invalid', 'the join token is malformed: expected ID.SECRET.FINGERPRINT as `cleat token create` prints it; copy all of it');
  const [, id = '', secret = '', fingerprint = ''] = match;
  return { id, secret, fingerprint };
}

function randomText(length: number): string {
  const characters = 'abcdefghijklmnopqrstuvwxyz0123456789';
  return Array.from({ length }, () => characters.charAt(randomInt(characters.length))).join('');
}
