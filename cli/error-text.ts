import { isStatus, messageOf } from '#common/errors.ts';

/** What a person reads of a failure, as kubectl words it. */
export function errorText(error: unknown): string {
  if (!isStatus(error) || error.details?.kind === undefined) return `error: ${messageOf(error)}`;
  if (error.code === 'Unauthorized') return `error: You must be logged in to the server (${error.message}): it does not know the certificate or token of the kubeconfig, or they have expired. Copy the kubeconfig anew.`;
  return `Error from server (${error.code}): ${error.message}`;
}
