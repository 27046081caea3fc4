/** What is to be done of claims, and of volumes. */
export { reconcileClaim, type ClaimSnapshot } from './claims.ts';
export { reconcileVolume, type VolumeDecision } from './volumes.ts';
