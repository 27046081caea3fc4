/** Cleat's version; the same as package.json's, which a test holds. Kept here so that no program has to read a file to know it. */
export const version = '0.1.0';

/** The Kubernetes release whose API is served, with ours behind it: what nodes and the server report. */
export function kubernetesVersion(own: string): string {
  return `v1.34.0+cleat.${own}`;
}
