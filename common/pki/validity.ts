import type { X509Certificate } from 'node:crypto';

const dayMs = 86_400_000;
export const leafLifetimeMs = 365 * dayMs;
export const caLifetimeMs = 20 * 365 * dayMs;

/** No clock can rightly be earlier than this release. */
export const releaseDateMs = Date.UTC(2026, 10, 1);

/**
 * The latest moment that surely has passed: a clock that lost its battery shows less than what was seen before.
 * Give everything known to lie in the past, e.g. when a file was last written.
 */
export function timeFloor(nowMs: number, ...seenMs: readonly number[]): number {
  return Math.max(nowMs, releaseDateMs, ...seenMs);
}

export function isExpired(certificate: X509Certificate, nowMs: number): boolean {
  return nowMs > certificate.validToDate.getTime();
}

/** When a leaf should be renewed: with a third of its life left. Its start is back-dated, so life is counted from its end. */
export function renewAtMs(certificate: X509Certificate): number {
  return certificate.validToDate.getTime() - leafLifetimeMs / 3;
}

/** True when `certificate` was signed by `ca`. Says nothing about time. */
export function isSignedBy(certificate: X509Certificate, ca: X509Certificate): boolean {
  return ca.ca && certificate.checkIssued(ca) && certificate.verify(ca.publicKey);
}
