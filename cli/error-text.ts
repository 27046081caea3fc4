import { isStatus, messageOf, type StatusError } from '#common/errors.ts';
import type { Io } from './types.ts';

/** What a person reads of a failure that a command ends with, as kubectl words it. */
export function errorText(error: unknown): string {
  return isStatus(error, 'Invalid') && error.details?.kind !== undefined ? invalidText(error) : lineOf(error);
}

/** Prints what went wrong on the way, each once. Resolves to the command's exit code. */
export function report(failures: readonly unknown[], io: Io): number {
  if (failures.length === 0) return 0;
  if (io.interrupted.aborted) return 130;
  const lines = failures.length === 1 ? [errorText(failures[0])] : failures.map(lineOf);
  for (const line of new Set(lines)) io.err(`${line}\n`);
  return 1;
}

/** True for what the server said of one object: others may fare better, so that a command goes on with them. */
export function isAnswer(error: unknown): error is StatusError {
  return isStatus(error) && error.details?.kind !== undefined;
}

function lineOf(error: unknown): string {
  // Where a field of an answer is not as Kubernetes has it, we stumble over it.
  if (error instanceof TypeError || error instanceof RangeError) return `error: the server's answer is not as expected, or cleat itself is at fault (${plain(error.message)}); compare both with: cleat version`;
  if (!isAnswer(error)) return `error: ${plain(messageOf(error))}`;
  if (error.code === 'Unauthorized') return `error: You must be logged in to the server (${plain(error.message)}): it does not know the certificate or token of the kubeconfig, or they have expired. Copy the kubeconfig anew.`;
  return `Error from server (${error.code}): ${plain(error.message)}`;
}

/** What files and others say may steer terminals, and is shown rather than done. */
function plain(text: string): string {
  // oxlint-disable-next-line no-control-regex -- these are what is meant
  return text.replaceAll(/[\0-\x08\x0b-\x1f\x7f-\x9f]/g, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

function invalidText({ details, message }: StatusError): string {
  const { kind = '', name = '', causes = [] } = details ?? {};
  const what = kind === unnamedKind ? 'The request is invalid' : `The ${kind} ${JSON.stringify(name)} is invalid`;
  const lines = [...new Set(causes.map(({ field, message: text }) => plain(field === undefined || field === '' ? text : `${field}: ${text}`)))];
  if (lines.length === 0) return kind === unnamedKind ? `${what}: ${message}` : what;
  return lines.length === 1 ? `${what}: ${lines[0] ?? ''}` : `${what}: \n${lines.map((line) => `* ${line}`).join('\n')}`;
}

/** The kind in details of an answer that names none: that it is there marks what the server said. */
export const unnamedKind = 'Status';
