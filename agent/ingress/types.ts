import type { Routes } from '#api/ingress/routes.ts';

/** A certificate as the proxy reads it: PEM of certificate, chain and key. */
export type Certificates = ReadonlyMap<string, string>;

/** A proxy that serves routes. What is under way goes on whatever changes. */
export interface IngressProxy {
  /** Starts it, or makes the running one serve these. Rejects, with what it serves unchanged, when it refuses them. */
  serve(routes: Routes, certificates: Certificates, signal: AbortSignal): Promise<void>;
  /** False when it has to be started. */
  running(): Promise<boolean>;
  /** Ends it; requests under way get a little time. */
  stop(signal: AbortSignal): Promise<void>;
}
